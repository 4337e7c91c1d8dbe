"""What groups share whose back end answers in whole batches and resets by itself in the step after an ending."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import ArraySpec, EpisodeEnds, StepViews
from arl_core.spaces import leaves_of, value_at


class NextStepGroup:
    """The half of an `EnvGroup` that takes what such a back end answers. A subclass asks, and clears `_ended` where all reset.

    Numbers in `info` at an ending become metrics, but those called `unreported`; a mask beside one (`_key`, as Gymnasium
    does it) says which environments have it.
    """

    def __init__(self, num_envs: int, observation_space: gymnasium.Space[Any], unreported: Collection[str] = ()) -> None:
        self.num_envs = num_envs
        self.obs_specs: Mapping[str, ArraySpec] = obs_specs(observation_space)
        self._paths = {key: path for key, (path, _) in leaves_of(observation_space).items()}
        self._unreported = unreported
        self._ended = np.zeros(num_envs, np.bool_)  # rows that the next step resets

    def _write(self, batch: Any, out: Mapping[str, NDArray[Any]]) -> None:
        """Observations of all environments, as the back end gives them, into `out`."""
        for key, path in self._paths.items():
            value = value_at(path, batch)
            if np.shape(value) != out[key].shape:  # NumPy would stretch it
                raise ValueError(f"observations '{key}' have shape {np.shape(value)}, their space says {out[key].shape}")
            np.copyto(out[key], value, casting="unsafe")

    def _take(self, answer: Any, views: StepViews) -> EpisodeEnds | None:
        """What a step has led to (observations, rewards, terminated, truncated, info) into `views`; metrics where any ended."""
        obs, rewards, terminated, truncated, info = answer
        self._write(obs, views.obs)
        views.rewards[:] = rewards
        views.terminated[:] = terminated
        views.truncated[:] = truncated
        np.logical_not(self._ended, out=views.valid)
        if self._ended.any():
            for array in (views.rewards, views.terminated, views.truncated):
                array[self._ended] = 0
        np.logical_or(views.terminated, views.truncated, out=self._ended)
        if not self._ended.any():
            return None
        rows = np.flatnonzero(self._ended)
        metrics = {name: values for name, values in _numbers(info, rows) if name not in self._unreported}
        return EpisodeEnds(rows, metrics)


def _numbers(info: Mapping[str, Any], rows: NDArray[np.int64], prefix: str = "") -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What `info` has one number an environment of, at `rows`; NaN where its mask (`_key`) says that there is none."""
    for key, value in info.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, rows, f"{prefix}{key}.")
        elif not key.startswith("_") and isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "biuf":
            given = np.asarray(info.get(f"_{key}", True))
            yield f"{prefix}{key}", np.where(given[rows] if given.ndim else given, value[rows], np.nan).astype(float)
