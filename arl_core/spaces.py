"""Spaces taken apart once, for environments and networks alike: leaves by key, parts of actions, and how images lie.

Keys: a Dict has its keys (nested ones joined by "."), a Tuple "0", "1", ..., any other space the one key "obs".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
from gymnasium import spaces

from arl_core.interfaces import UserError

ACTION_MASK = "action_mask"  # the key of a mask over actions: no input of the network
Path = tuple[Any, ...]  # keys and indices that lead to a leaf of an observation
_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
LARGEST_EXACT = 1 << 24  # integers up to here are exact in float32


def leaves_of(space: spaces.Space[Any]) -> dict[str, tuple[Path, spaces.Space[Any]]]:
    """Key -> (path into an observation, leaf space).

    Raises UserError, naming the key, for a space without a fixed array form (Text, Graph, Sequence, OneOf) and for two
    leaves of one key.
    """
    found: dict[str, tuple[Path, spaces.Space[Any]]] = {}
    for path, leaf in walk(space):
        key = key_of(path)
        if key in found:
            raise UserError(f"observation space: two entries are both called '{key}'; rename one of the keys")
        if not isinstance(leaf, _LEAVES):
            raise UserError(
                f"observation '{key}' is a {type(leaf).__name__} space, which has no fixed array form; "
                "wrap the environment to give Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or Tuple of them"
            )
        found[key] = path, leaf
    return found


def action_parts(space: spaces.Space[Any]) -> list[tuple[str, spaces.Space[Any]]]:
    """The leaves of an action space by name, in the order of their columns; a plain space is one part, called "action".

    Raises UserError, naming the part, for a space that no action can be drawn from: another kind, or integers that float32
    does not hold exactly where they would have to lie in it.
    """
    parts = [(key_of(path) if path else "action", leaf) for path, leaf in walk(space)]
    if not parts:
        raise UserError(f"action space {space} has no parts: there is nothing to choose")
    has_floats = any(isinstance(leaf, spaces.Box) for _, leaf in parts)
    for name, leaf in parts:
        _check_action(name, leaf, has_floats)
    return parts


def _check_action(name: str, leaf: spaces.Space[Any], has_floats: bool) -> None:
    where = "action space" if name == "action" else f"action '{name}'"
    if not isinstance(leaf, _LEAVES):
        raise UserError(
            f"{where}: {type(leaf).__name__} is not supported; use Discrete, MultiDiscrete, MultiBinary or Box, "
            "or a Dict or Tuple of them"
        )
    if isinstance(leaf, spaces.Box):
        kind = np.dtype(leaf.dtype).kind
        if kind == "b":
            raise UserError(f"{where} is a Box of bool; use MultiBinary({list(leaf.shape)})")
        if kind != "f" and leaf.shape != (0,) and max(abs(int(leaf.low.min())), abs(int(leaf.high.max()))) > LARGEST_EXACT:
            raise UserError(
                f"{where} is a Box of {leaf.dtype} with bounds beyond {LARGEST_EXACT}, up to where float32 holds integers "
                "exactly; give it narrower bounds, or use MultiDiscrete"
            )
    elif has_floats and largest_class(leaf) > LARGEST_EXACT:
        raise UserError(
            f"{where} has more than {LARGEST_EXACT} choices beside a Box; their columns are float32, which holds integers "
            "exactly up to there"
        )


def largest_class(leaf: spaces.Space[Any]) -> int:
    """The most choices that a component of a discrete space has."""
    if isinstance(leaf, spaces.Discrete):
        return int(leaf.n)
    return int(np.max(leaf.nvec)) if isinstance(leaf, spaces.MultiDiscrete) else 2


def mask_size(leaf: spaces.Space[Any]) -> int:
    """Columns of the action mask that belong to a part of an action: one a choice; none for MultiBinary and Box."""
    if isinstance(leaf, spaces.Discrete):
        return int(leaf.n)
    return int(np.sum(leaf.nvec)) if isinstance(leaf, spaces.MultiDiscrete) else 0


def key_of(path: Path) -> str:
    """The key of the leaf at `path`."""
    return ".".join(str(part) for part in path) or "obs"


def value_at(path: Path, observation: Any) -> Any:
    """The value of the leaf at `path` of an observation (or an action)."""
    return reduce(getitem, path, observation)


def given_at(path: Path, observation: Any, keys: Collection[str]) -> Any:
    """`value_at` of an observation that a user has brought, which should have `keys`. Raises UserError where it has not."""
    try:
        if path and isinstance(path[0], str) and not isinstance(observation, Mapping):
            raise TypeError
        return value_at(path, observation)
    except (LookupError, TypeError, ValueError):
        found = f"an array of shape {tuple(observation.shape)}" if hasattr(observation, "shape") else type(observation).__name__
        if isinstance(observation, Mapping):
            found = f"one with {', '.join(map(str, observation)) or 'nothing'}"
        raise UserError(f"expected an observation with {', '.join(keys)}, as the environment gives it, got {found}") from None


def children_of(space: spaces.Space[Any]) -> Mapping[Any, spaces.Space[Any]] | None:
    """A Dict's or Tuple's parts by key or index; None for a leaf."""
    if isinstance(space, spaces.Dict):
        return space.spaces
    return dict(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def walk(space: spaces.Space[Any], path: Path = ()) -> Iterator[tuple[Path, spaces.Space[Any]]]:
    """The leaves of any space, each with the path that leads to it."""
    children = children_of(space)
    if children is None:
        yield path, space
        return
    for part, child in children.items():
        yield from walk(child, (*path, part))


def joined(space: spaces.Space[Any], values: Iterator[Any]) -> Any:
    """One element of `space` from the values of its leaves, in the order of `walk`."""
    children = children_of(space)
    if children is None:
        return next(values)
    parts = {part: joined(child, values) for part, child in children.items()}
    return parts if isinstance(space, spaces.Dict) else tuple(parts.values())


def replace_leaves(
    space: spaces.Space[Any], changes: Mapping[str, tuple[spaces.Space[Any], Callable[[Any], Any]]]
) -> tuple[spaces.Space[Any], Callable[[Any], Any]]:
    """`space` with the leaves in `changes` (key -> new space, function of the leaf's value) replaced, and the function
    that turns an observation of `space` into one of the result. It leaves its argument as it is."""
    changed, function = _replaced(space, changes, ())
    return changed, function or (lambda observation: observation)


def _replaced(
    space: spaces.Space[Any], changes: Mapping[str, tuple[spaces.Space[Any], Callable[[Any], Any]]], path: Path
) -> tuple[spaces.Space[Any], Callable[[Any], Any] | None]:
    children = children_of(space)
    if children is None:
        return changes.get(key_of(path), (space, None))
    parts = {part: _replaced(child, changes, (*path, part)) for part, child in children.items()}
    functions = {part: function for part, (_, function) in parts.items() if function is not None}
    if not functions:
        return space, None
    if isinstance(space, spaces.Dict):
        return spaces.Dict({part: child for part, (child, _) in parts.items()}), lambda observation: {
            part: functions[part](value) if part in functions else value for part, value in observation.items()
        }
    return spaces.Tuple([child for child, _ in parts.values()]), lambda observation: tuple(
        functions[part](value) if part in functions else value for part, value in enumerate(observation)
    )


def element_type(space: Any) -> type[Any]:
    """NumPy's class of the elements of a leaf (gymnasium's, or gym's), as spaces take it for their `dtype`."""
    dtype: np.dtype[Any] = np.dtype(space.dtype)
    return dtype.type


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether a convolution applies: a Box of three axes."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def is_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether an image `shape` is height, width, channels. Two equal axes are height and width; where that does not tell
    (all equal, or none), the shorter of first and last axis is the channels."""
    first, middle, last = shape
    if (first == middle) != (middle == last):
        return first == middle
    return last < first
