"""Observation spaces as the networks see them: flat dictionaries, image layouts, sizes after preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from arl_core.interfaces import UserError

ACTION_MASK = "action_mask"
_LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def as_dict_space(space: spaces.Space[Any]) -> spaces.Dict:
    """A flat `Dict` of leaf spaces: a plain space has the key "obs", a Tuple "0", "1", ..., nested keys join with ".".

    Raises UserError, naming the key, for spaces without a fixed size (Text, Graph, Sequence, OneOf).
    """
    leaves: dict[str, spaces.Space[Any]] = {}
    for key, leaf in _walk(space, ""):
        name = key or "obs"
        if name in leaves:
            raise UserError(f"observation space: two entries are both called '{name}'; rename one of the keys")
        leaves[name] = leaf
    return spaces.Dict(leaves)


def _walk(space: spaces.Space[Any], prefix: str) -> Iterator[tuple[str, spaces.Space[Any]]]:
    if isinstance(space, spaces.Dict):
        children = [(str(key), child) for key, child in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        children = [(str(index), child) for index, child in enumerate(space.spaces)]
    elif isinstance(space, _LEAVES):
        yield prefix, space
        return
    else:
        raise UserError(
            f"observation '{prefix or 'obs'}' has a {type(space).__name__} space, which is not supported; "
            "use Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them"
        )
    for key, child in children:
        yield from _walk(child, f"{prefix}.{key}" if prefix else key)


def network_space(space: spaces.Space[Any]) -> spaces.Dict:
    """What encoders are built for: `as_dict_space` without the action mask, which is no input of the network."""
    leaves = {key: leaf for key, leaf in as_dict_space(space).spaces.items() if key != ACTION_MASK}
    if not leaves:
        raise UserError(f"the observation space has nothing but '{ACTION_MASK}': the network needs an observation")
    return spaces.Dict(leaves)


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


def image_shape_chw(space: spaces.Space[Any]) -> tuple[int, int, int]:
    """Channels, height and width of an image space, whichever its layout."""
    assert space.shape is not None
    a, b, c = space.shape
    return (c, a, b) if is_channels_last(space.shape) else (a, b, c)


def network_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Shape of one row after preprocessing: one-hot for discrete spaces, at least one axis."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, spaces.MultiDiscrete):
        return (int(np.sum(space.nvec)),)
    assert space.shape is not None
    return space.shape or (1,)
