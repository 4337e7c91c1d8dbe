"""Wrappers that turn classes and dictionaries into one array of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.spaces import array_spec
from arl_core.envs.wrappers.base import Change, ChangedGroup, ChangedObservation, ObservedGroup, Wrapper, chosen_leaves
from arl_core.interfaces import EnvGroup, UserError
from arl_core.spaces import ACTION_MASK, children_of, leaves_of, value_at


class OneHot(ChangedObservation):
    """`Discrete` and `MultiDiscrete` observations as zeros and ones, float32 [classes], component after component."""

    def __init__(self, env: gymnasium.Env[Any, Any], keys: Sequence[str] | None = None) -> None:
        super().__init__(env, _one_hot_changes(env.observation_space, keys))


def one_hot_group(group: EnvGroup, space: spaces.Space[Any], keys: Sequence[str] | None = None) -> EnvGroup:
    """`OneHot` for a group."""
    return ChangedGroup(group, _one_hot_changes(space, keys))


def _one_hot_changes(space: spaces.Space[Any], keys: Sequence[str] | None) -> dict[str, Change]:
    leaves = chosen_leaves("one-hot", space, keys, _has_classes, "a Discrete or MultiDiscrete observation")
    changes = {}
    for key, leaf in leaves.items():
        sizes = np.ravel(leaf.nvec if isinstance(leaf, spaces.MultiDiscrete) else leaf.n).astype(np.int64)
        first = np.cumsum(sizes) - sizes - np.ravel(leaf.start).astype(np.int64)  # where the class 0 of a component would be
        box = spaces.Box(0.0, 1.0, (int(sizes.sum()),), np.float32)
        changes[key] = Change(box, partial(_one_hot, first=first, sizes=sizes))
    return changes


def _has_classes(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete)


def _one_hot(x: NDArray[Any], first: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    columns = x.reshape(len(x), -1) + first
    ends = np.cumsum(sizes)
    if (columns < ends - sizes).any() or (columns >= ends).any():
        raise ValueError(f"wrapper 'one-hot': an observation is outside its space: {x.tolist()}")
    out = np.zeros((len(x), int(ends[-1])), np.float32)
    out[np.arange(len(x))[:, None], columns] = 1.0
    return out


class FlattenDict(Wrapper, gymnasium.ObservationWrapper[Any, Any, Any]):
    """All parts of a `Dict` or `Tuple` as one `Box` [N], in the order of their keys; Discrete parts as numbers.

    The dtype is that of the parts where they have one, else float32. A part called "action_mask" stays one of its own beside
    "obs".
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        leaves, mask, box = _flat(env.observation_space)
        self._paths = [leaves_of(env.observation_space)[key][0] for key in leaves]
        self._dtype = box.dtype
        self._has_mask = mask is not None
        self.observation_space = box if mask is None else spaces.Dict({"obs": box, ACTION_MASK: mask})

    def observation(self, observation: Any) -> Any:
        """See `gymnasium.ObservationWrapper`."""
        parts = [np.ravel(value_at(path, observation)) for path in self._paths]
        flat = np.concatenate(parts, dtype=self._dtype, casting="unsafe")
        return {"obs": flat, ACTION_MASK: observation[ACTION_MASK]} if self._has_mask else flat


class FlattenDictGroup(ObservedGroup):
    """`FlattenDict` for a group."""

    def __init__(self, group: EnvGroup, space: spaces.Space[Any]) -> None:
        leaves, mask, box = _flat(space)
        specs = {"obs": array_spec(box)} | ({} if mask is None else {ACTION_MASK: group.obs_specs[ACTION_MASK]})
        super().__init__(group, specs, tuple(leaves))
        self._order = tuple(leaves)

    def _write(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_] | None) -> None:  # noqa: ARG002
        parts = [self._inner[key].reshape(self.num_envs, -1) for key in self._order]
        np.concatenate(parts, 1, out=obs["obs"], casting="unsafe")


def _flat(space: spaces.Space[Any]) -> tuple[dict[str, Any], spaces.Space[Any] | None, spaces.Box]:
    """The parts in order, the action mask, and the one Box."""
    if children_of(space) is None:
        raise UserError(f"wrapper 'flatten-dict' needs a Dict or Tuple observation, got {type(space).__name__}")
    leaves = {key: leaf for key, (_, leaf) in leaves_of(space).items()}
    mask = leaves.pop(ACTION_MASK, None)
    if not leaves:
        raise UserError("wrapper 'flatten-dict' needs observations beside 'action_mask'")
    dtypes = {np.dtype(leaf.dtype) for leaf in leaves.values()}
    dtype: np.dtype[Any] = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)
    bounds = [_bounds(leaf) for leaf in leaves.values()]
    low, high = (np.concatenate([np.ravel(pair[side]) for pair in bounds]).astype(dtype) for side in (0, 1))
    return leaves, mask, spaces.Box(low, high, dtype=dtype.type)


def _bounds(leaf: Any) -> tuple[Any, Any]:
    """Least and greatest value of each element."""
    if isinstance(leaf, spaces.Box):
        return leaf.low, leaf.high
    if isinstance(leaf, spaces.MultiBinary):
        return np.zeros(math.prod(leaf.shape)), np.ones(math.prod(leaf.shape))
    size = leaf.nvec if isinstance(leaf, spaces.MultiDiscrete) else leaf.n
    return leaf.start, leaf.start + size - 1
