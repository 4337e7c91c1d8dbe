"""How gymnasium's spaces lie in arrays: observations by key, actions as columns.

Observations have the keys of `arl_core.spaces`. Actions are `[E, A]`: Discrete one column, MultiDiscrete and MultiBinary
one per component (counted from 0), Box one per element; a Dict or Tuple has the columns of its parts, one part after the other.
Columns are int64, or float32 where there is a Box among the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from packaging.version import Version

from arl_core.interfaces import ArraySpec
from arl_core.spaces import action_parts, children_of, joined, key_of, leaves_of, value_at, walk

# Networks compute in float32: half the memory and one conversion, here. torch computes with few unsigned integers.
_STORED = {"float64": "float32", "longdouble": "float32", "float128": "float32"}
_STORED |= {"uint16": "int32", "uint32": "int64", "uint64": "int64"}
# Environments mostly ask `action_space.contains(action)` first. It takes Python's integers twice as fast as NumPy's until
# gymnasium 1.3, and slower from 1.4 on (benchmarks/LOG.md); an environment has to take either.
_PYTHON_INTEGERS = Version(gymnasium.__version__) < Version("1.4")


def array_spec(space: spaces.Space[Any]) -> ArraySpec:
    """Shape and dtype of one value of a leaf space, as it lies in arrays."""
    assert space.dtype is not None
    name = np.dtype(space.dtype).name
    return ArraySpec(tuple(space.shape or ()), _STORED.get(name, name))


def obs_specs(space: spaces.Space[Any]) -> dict[str, ArraySpec]:
    """Key -> shape and dtype of one observation. Raises UserError as `leaves_of`."""
    return {key: array_spec(leaf) for key, (_, leaf) in leaves_of(space).items()}


def obs_writer(space: spaces.Space[Any]) -> Callable[[Any, dict[str, NDArray[Any]], int], None] | None:
    """A function that writes one observation into row i of `{key: [E, ...]}`; None where the space has the one key "obs"
    and `rows["obs"][i] = observation` does it. It raises ValueError for a wrong shape, which NumPy would stretch."""
    leaves = [(key, path, leaf.shape) for key, (path, leaf) in leaves_of(space).items()]
    if leaves[0][:2] == ("obs", ()):
        return None

    def write(observation: Any, rows: dict[str, NDArray[Any]], i: int) -> None:
        try:
            for key, path, shape in leaves:
                value = observation
                for part in path:
                    value = value[part]
                if getattr(value, "shape", ()) != shape:
                    check_shape(key, value, shape)
                rows[key][i] = value
        except (LookupError, TypeError):
            _check_parts(observation, leaves)
            raise

    return write


def _check_parts(observation: Any, leaves: Iterable[tuple[Any, ...]]) -> None:
    """Raises ValueError where an observation lacks one of the `leaves` (key, path, ...): which, and what is there instead."""
    for key, path, *_ in leaves:
        value, depth = observation, 0
        try:
            for part in path:
                value = value[part]
                depth += 1
        except (LookupError, TypeError):
            there = f"has the keys {list(value)}" if isinstance(value, Mapping) else f"is {type(value).__name__} {value!r:.60}"
            where = f"observation '{key_of(path[:depth])}'" if depth else "the observation"
            raise ValueError(f"observation '{key}' is missing: {where} {there}") from None


def check_shape(key: str, value: Any, shape: tuple[int, ...] | None) -> None:
    """Raises ValueError where a leaf of an observation (an array, a number or nested lists) has not its space's shape."""
    if np.shape(value) != shape:
        raise ValueError(f"observation '{key}' has shape {np.shape(value)}, its space says {shape}")


def obs_checker(space: spaces.Space[Any], *, classes: bool = False) -> Callable[[Any], None]:
    """A function that raises ValueError where an observation has not the parts and the shape of its space, or has fractions
    where that has integers; with `classes` also where it is none of those of a discrete space (too slow for every step)."""
    leaves = [
        (key, path, leaf.shape, np.dtype(leaf.dtype), _classes(leaf) if classes else None)
        for key, (path, leaf) in leaves_of(space).items()
    ]

    def check(observation: Any) -> None:
        for key, path, shape, dtype, bounds in leaves:
            value = observation
            try:
                for part in path:
                    value = value[part]
            except (LookupError, TypeError):
                _check_parts(observation, leaves)
                raise
            array = np.asarray(value)
            if array.shape != shape:
                check_shape(key, array, shape)
            if array.dtype.kind == "f" and dtype.kind != "f":
                raise ValueError(f"observation '{key}' is {array.dtype}, its space says {dtype}")
            if bounds is not None and ((array < bounds[0]) | (array > bounds[1])).any():
                raise ValueError(f"observation '{key}' is {array}, its space has {bounds[0]} to {bounds[1]}")

    return check


def _classes(leaf: spaces.Space[Any]) -> tuple[Any, Any] | None:
    """The first and the last class of a discrete space, or arrays of them; None for another space."""
    if isinstance(leaf, spaces.Discrete):
        return int(leaf.start), int(leaf.start + leaf.n - 1)
    return (leaf.start, leaf.start + leaf.nvec - 1) if isinstance(leaf, spaces.MultiDiscrete) else None


class ActionLayout:
    """Columns of an action space and their translation into what `env.step` takes. Raises UserError as `action_parts`."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self.leaves = [leaf for _, leaf in action_parts(space)]
        sizes = [1 if isinstance(leaf, spaces.Discrete) else math.prod(leaf.shape or ()) for leaf in self.leaves]
        self.ends = np.cumsum(sizes)[:-1]  # of the leaves' columns, but the last
        self.size = sum(sizes)
        self.dtype = "float32" if any(isinstance(leaf, spaces.Box) for leaf in self.leaves) else "int64"
        self._is_plain = children_of(space) is None

    def to_env(self, columns: NDArray[Any]) -> Sequence[Any]:
        """One action per environment from columns [E, A]. Box actions are clipped to their bounds: what is outside never
        reaches the environment. Those of integer dtype are rounded before."""
        if self._is_plain:
            return _leaf_actions(self.space, columns)
        parts = np.split(columns, self.ends, 1)
        values = [_leaf_actions(leaf, part) for leaf, part in zip(self.leaves, parts, strict=True)]
        return [joined(self.space, iter(row)) for row in zip(*values, strict=True)]

    def to_columns(self, action: Any) -> NDArray[Any]:
        """The columns [1, A] of one action of the space."""
        values = [np.ravel(value_at(path, action) - getattr(leaf, "start", 0)) for path, leaf in walk(self.space)]
        columns: NDArray[Any] = np.concatenate(values).astype(self.dtype)[None]
        return columns


def _leaf_actions(space: spaces.Space[Any], columns: NDArray[Any]) -> Sequence[Any]:
    """One action of a leaf space per environment."""
    if isinstance(space, spaces.Discrete):
        indices = columns[:, 0] if columns.dtype == np.int64 else columns[:, 0].astype(np.int64)
        if space.start:
            indices = indices + space.start
        return indices.tolist() if _PYTHON_INTEGERS else list(indices)
    shaped = columns.reshape(-1, *(space.shape or ()))
    if isinstance(space, spaces.Box):
        whole = np.dtype(space.dtype).kind != "f"
        shaped = np.clip(np.rint(shaped) if whole else shaped, space.low, space.high)
    elif isinstance(space, spaces.MultiDiscrete):
        shaped = shaped.astype(np.int64, copy=False) + space.start
    return cast(Sequence[Any], shaped.astype(space.dtype))


class Squash:
    """Actions as they are stored -> actions as environments take them: tanh, then scaled, where `squashed` says so.

    `squashed` has (column, low, high) for every column that the policy chooses before its tanh (`ActionDist.squashed`).
    """

    def __init__(self, squashed: Sequence[tuple[int, float, float]]) -> None:
        self._columns = np.array([column for column, _, _ in squashed], np.intp)
        self._low, self._high = (np.array([bounds[side] for bounds in squashed], np.float32) for side in (1, 2))
        self._half = (self._high - self._low) / 2

    def __call__(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """[E, A] -> [E, A]; what is given stays as it is."""
        scaled = self._low + (np.tanh(actions[:, self._columns]) + 1) * self._half
        out = actions.copy()
        out[:, self._columns] = np.clip(scaled, self._low, self._high)  # rounding may lead out of the bounds
        return out
