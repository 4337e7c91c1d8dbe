"""What `APPO.predict` is given, as arrays of the right shape. Raises UserError for anything else."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import UserError
from arl_core.spaces import given_at, leaves_of


def as_state(state: Any, rows: int, size: int) -> NDArray[np.float32]:
    """A copy of the recurrent state [N, H] that a caller of `predict` hands back; zeros for None."""
    if state is None:
        return np.zeros((rows, size), np.float32)
    array = np.array(state, np.float32)
    if array.shape != (rows, size):
        raise UserError(f"state has shape {array.shape}; expected {(rows, size)}, as predict returned it, or None")
    return array


def as_starts(episode_start: Any, rows: int) -> NDArray[np.bool_]:
    """Which rows begin an episode, [N, or 1 for all]."""
    array = np.atleast_1d(np.asarray(episode_start, bool))
    if array.shape not in {(rows,), (1,)}:
        raise UserError(f"episode_start has shape {array.shape}; expected {(rows,)}")
    return array


def as_rows(observation: Any, space: gym.Space[Any]) -> tuple[dict[str, NDArray[Any]], bool]:
    """One observation or a batch as `{key: [N, ...]}`, and whether it was a batch."""
    rows: dict[str, NDArray[Any]] = {}
    batched = False
    specs = obs_specs(space)
    for key, (path, _) in leaves_of(space).items():
        found, shape = given_at(path, observation, specs), specs[key].shape
        try:
            array = np.asarray(found, specs[key].dtype)
        except (TypeError, ValueError):
            what = f"observation '{key}' is {type(found).__name__}"
            raise UserError(f"{what}; expected numbers of shape {shape}, or a batch of such") from None
        if array.shape == shape:
            array = array[None]
        elif array.shape[1:] == shape:
            batched = True
        else:
            raise UserError(f"observation '{key}' has shape {array.shape}; expected {shape}, or a batch of such")
        rows[key] = array
    if len({len(array) for array in rows.values()}) > 1:
        raise UserError(
            f"observation: {', '.join(f'{len(array)} of {key!r}' for key, array in rows.items())}; expected as many of each"
        )
    return rows, batched
