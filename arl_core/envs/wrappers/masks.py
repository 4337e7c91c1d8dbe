"""Action masks that environments report in `info`, made observations (docs/decisions/0003-action-mask.md).

No vector form: a vectorised group has no `info`, and writes its masks as observations itself.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.wrappers.base import Wrapper
from arl_core.interfaces import UserError
from arl_core.spaces import ACTION_MASK, action_parts, children_of, mask_size


class MaskFromInfo(Wrapper):
    """Adds `info[key]` to the observation as "action_mask"; an observation that is no `Dict` becomes "obs" beside it.

    The mask is one array over all choices, or has the structure of the action space: an array for each part, for a
    `MultiDiscrete` one for each component if need be. An ending may leave it out, for no action follows. Raises UserError
    where it is missing otherwise, ValueError where it does not fit.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], key: str = ACTION_MASK) -> None:
        super().__init__(env)
        self._key = key
        self._size = sum(mask_size(leaf) for _, leaf in action_parts(env.action_space))
        if not self._size:
            raise UserError(f"wrapper 'mask-from-info' needs a Discrete or MultiDiscrete action, got {env.action_space}")
        inner = env.observation_space
        self._is_dict = isinstance(inner, spaces.Dict)
        parts = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"obs": inner}
        if ACTION_MASK in parts:
            raise UserError(f"wrapper 'mask-from-info': the observation has an '{ACTION_MASK}' already")
        self.observation_space = spaces.Dict({**parts, ACTION_MASK: spaces.MultiBinary(self._size)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, self._mask(info)), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        is_last = (terminated or truncated) and self._key not in info
        mask = np.ones(self._size, np.int8) if is_last else self._mask(info)
        return self._with_mask(observation, mask), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, mask: NDArray[np.int8]) -> dict[str, Any]:
        return {**observation, ACTION_MASK: mask} if self._is_dict else {"obs": observation, ACTION_MASK: mask}

    def _mask(self, info: dict[str, Any]) -> NDArray[np.int8]:
        if self._key not in info:
            raise UserError(f"wrapper 'mask-from-info': info has no '{self._key}', only {sorted(info)}")
        given = info[self._key]
        if isinstance(given, np.ndarray) and given.shape == (self._size,):
            mask = given
        else:
            mask = np.concatenate(_flat(self.env.action_space, given, self._key))
        return np.not_equal(mask, 0).astype(np.int8)


def _flat(space: spaces.Space[Any], given: Any, where: str) -> list[NDArray[Any]]:
    """The masks of an action space's parts, in order. Raises ValueError that names the part that does not fit."""
    children = children_of(space)
    if children is not None:
        return [mask for part, child in children.items() for mask in _of_part(child, given, part, where)]
    size = mask_size(space)
    if not size:
        return []
    components = given if isinstance(given, list | tuple) and given and np.ndim(given[0]) else [given]
    mask = np.concatenate([np.ravel(component) for component in components])
    if len(mask) != size:
        raise ValueError(f"wrapper 'mask-from-info': {where} has {len(mask)} entries, {space} needs {size}")
    return [mask]


def _of_part(child: spaces.Space[Any], given: Any, part: Any, where: str) -> list[NDArray[Any]]:
    if not any(mask_size(leaf) for _, leaf in action_parts(child)):
        return []  # a part without choices may be left out, or be None
    try:
        own = given[part]
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"wrapper 'mask-from-info': {where} has nothing for the action's part {part!r}") from None
    return _flat(child, own, f"{where}[{part!r}]")
