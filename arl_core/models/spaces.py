"""Observation spaces as the networks see them: flat dictionaries, image layouts, sizes after preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from arl_core.interfaces import UserError
from arl_core.spaces import ACTION_MASK as ACTION_MASK  # the rooms above find it here
from arl_core.spaces import is_channels_last, leaves_of


def as_dict_space(space: spaces.Space[Any]) -> spaces.Dict:
    """A flat `Dict` of leaf spaces by their keys (see `arl_core.spaces`). Raises UserError as `leaves_of`."""
    return spaces.Dict({key: leaf for key, (_, leaf) in leaves_of(space).items()})


def network_space(space: spaces.Space[Any]) -> spaces.Dict:
    """What encoders are built for: `as_dict_space` without the action mask, which is no input of the network."""
    leaves = {key: leaf for key, leaf in as_dict_space(space).spaces.items() if key != ACTION_MASK}
    if not leaves:
        raise UserError(f"the observation space has nothing but '{ACTION_MASK}': the network needs an observation")
    return spaces.Dict(leaves)


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
