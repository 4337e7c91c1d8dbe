"""How gymnasium's spaces lie in arrays: observations by key, actions as columns.

Observations have the keys of `arl_core.spaces`. Actions are `[E, A]`: Discrete one column, MultiDiscrete and MultiBinary
one each (int64, counted from 0), Box one per element (float32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, UserError
from arl_core.spaces import leaves_of


def array_spec(space: spaces.Space[Any]) -> ArraySpec:
    """Shape and dtype of one value of a leaf space, as it lies in arrays."""
    assert space.dtype is not None
    dtype = np.dtype(space.dtype)
    if dtype == np.float64:  # networks compute in float32: half the memory and one conversion, here
        dtype = np.dtype(np.float32)
    return ArraySpec(tuple(space.shape or ()), dtype.name)


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
        for key, path, shape in leaves:
            value = observation
            for part in path:
                value = value[part]
            if getattr(value, "shape", ()) != shape:
                check_shape(key, value, shape)
            rows[key][i] = value

    return write


def check_shape(key: str, value: Any, shape: tuple[int, ...] | None) -> None:
    """Raises ValueError where a leaf of an observation (an array, a number or nested lists) has not its space's shape."""
    if np.shape(value) != shape:
        raise ValueError(f"observation '{key}' has shape {np.shape(value)}, its space says {shape}")


def obs_checker(space: spaces.Space[Any]) -> Callable[[Any], None]:
    """A function that raises ValueError where an observation has not the shape of its space, or has fractions where that
    has integers."""
    leaves = [(key, path, leaf.shape, np.dtype(leaf.dtype)) for key, (path, leaf) in leaves_of(space).items()]

    def check(observation: Any) -> None:
        for key, path, shape, dtype in leaves:
            value = observation
            for part in path:
                value = value[part]
            array = np.asarray(value)
            if array.shape != shape:
                check_shape(key, array, shape)
            if array.dtype.kind == "f" and dtype.kind != "f":
                raise ValueError(f"observation '{key}' is {array.dtype}, its space says {dtype}")

    return check


class ActionLayout:
    """Columns of an action space and their translation into what `env.step` takes."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        if isinstance(space, spaces.Discrete):
            self.size = 1
        elif isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary | spaces.Box):
            self.size = int(np.prod(space.shape))
        else:
            raise UserError(
                f"action space {type(space).__name__} is not supported yet; Discrete, MultiDiscrete, MultiBinary and Box are"
            )
        self.dtype = "float32" if isinstance(space, spaces.Box) else "int64"

    def to_env(self, columns: NDArray[Any]) -> Sequence[Any]:
        """One action per environment from columns [E, A]. Box actions are clipped to their bounds: what is outside never
        reaches the environment."""
        space = self.space
        if isinstance(space, spaces.Discrete):
            # NumPy integers, as `space.sample()` gives them: gymnasium's `contains` takes them faster than Python's
            return list(columns[:, 0] + space.start if space.start else columns[:, 0])
        shaped = columns.reshape(-1, *(space.shape or ()))
        if isinstance(space, spaces.Box):
            shaped = np.clip(shaped, space.low, space.high)
        elif isinstance(space, spaces.MultiDiscrete):
            shaped = shaped + space.start
        return cast(Sequence[Any], shaped.astype(space.dtype))
