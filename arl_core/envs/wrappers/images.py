"""Wrappers of images: layout, colour, size. NumPy alone: no imaging library to install in every worker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.wrappers.base import Change, ChangedGroup, ChangedObservation, chosen_leaves
from arl_core.interfaces import EnvGroup
from arl_core.spaces import element_type, is_channels_last, is_image

# Rec. ITU-R BT.601, and its weights in 256ths, whose sum over uint8 fits uint16
_LUMA = (0.299, 0.587, 0.114)
_LUMA_256THS = (77, 150, 29)


class PixelFormatChw(ChangedObservation):
    """Images [H, W, C] as [C, H, W], the order that torch's convolutions take.

    Every `Box` of three axes, or those in `keys`. Observations are views: nothing is copied here.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], keys: Sequence[str] | None = None) -> None:
        super().__init__(env, _chw_changes(env.observation_space, keys))


def pixel_format_chw_group(group: EnvGroup, space: spaces.Space[Any], keys: Sequence[str] | None = None) -> EnvGroup:
    """`PixelFormatChw` for a group."""
    return ChangedGroup(group, _chw_changes(space, keys))


def _chw_changes(space: spaces.Space[Any], keys: Sequence[str] | None) -> dict[str, Change]:
    images = chosen_leaves("pixel-format-chw", space, keys, is_image, "an image [H, W, C]")
    return {key: Change(_chw_space(image), _chw) for key, image in images.items()}


def _chw_space(image: spaces.Box) -> spaces.Box:
    return spaces.Box(np.moveaxis(image.low, -1, 0), np.moveaxis(image.high, -1, 0), dtype=element_type(image))


def _chw(x: NDArray[Any]) -> NDArray[Any]:
    return x.transpose(0, 3, 1, 2)


class Grayscale(ChangedObservation):
    """Colour images [H, W, 3] as brightness [H, W, 1], or [3, H, W] as [1, H, W]; the dtype stays."""

    def __init__(self, env: gymnasium.Env[Any, Any], keys: Sequence[str] | None = None) -> None:
        super().__init__(env, _gray_changes(env.observation_space, keys))


def grayscale_group(group: EnvGroup, space: spaces.Space[Any], keys: Sequence[str] | None = None) -> EnvGroup:
    """`Grayscale` for a group."""
    return ChangedGroup(group, _gray_changes(space, keys))


def _gray_changes(space: spaces.Space[Any], keys: Sequence[str] | None) -> dict[str, Change]:
    images = chosen_leaves("grayscale", space, keys, _has_colours, "a colour image [H, W, 3] or [3, H, W], uint8 or float")
    changes = {}
    for key, image in images.items():
        axis = 2 if is_channels_last(image.shape) else 0
        shape = tuple(1 if number == axis else size for number, size in enumerate(image.shape))
        changes[key] = Change(_like(image, shape), partial(_gray, axis=axis + 1))
    return changes


def _has_colours(space: spaces.Space[Any]) -> bool:
    if not is_image(space) or not (space.dtype == np.uint8 or (space.dtype is not None and space.dtype.kind == "f")):
        return False
    assert space.shape is not None
    return space.shape[2 if is_channels_last(space.shape) else 0] == 3


def _like(image: spaces.Box, shape: tuple[int, ...]) -> spaces.Box:
    """A Box of the image's dtype and widest bounds."""
    return spaces.Box(image.low.min(), image.high.max(), shape, element_type(image))


def _gray(x: NDArray[Any], axis: int) -> NDArray[Any]:
    red, green, blue = np.moveaxis(x, axis, 0)
    gray: NDArray[Any]
    if x.dtype == np.uint8:
        r, g, b = (np.uint16(weight) for weight in _LUMA_256THS)
        gray = (red * r + green * g + blue * b + np.uint16(128) >> np.uint16(8)).astype(np.uint8)
    else:
        r_, g_, b_ = _LUMA
        gray = red * r_ + green * g_ + blue * b_
    return np.expand_dims(gray, axis)


class Resize(ChangedObservation):
    """Images at `height` x `width`: each new pixel the mean of the area that it covers. Layout and dtype stay.

    [H, W], [H, W, C] and [C, H, W]; uint8 and other integers are rounded.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], height: int = 84, width: int = 84, keys: Sequence[str] | None = None
    ) -> None:
        super().__init__(env, _resize_changes(env.observation_space, height, width, keys))


def resize_group(
    group: EnvGroup, space: spaces.Space[Any], height: int = 84, width: int = 84, keys: Sequence[str] | None = None
) -> EnvGroup:
    """`Resize` for a group."""
    return ChangedGroup(group, _resize_changes(space, height, width, keys))


def _resize_changes(space: spaces.Space[Any], height: int, width: int, keys: Sequence[str] | None) -> dict[str, Change]:
    images = chosen_leaves("resize", space, keys, _has_pixels, "an image [H, W], [H, W, C] or [C, H, W] of numbers")
    changes = {}
    for key, image in images.items():
        last = len(image.shape) == 3 and is_channels_last(image.shape)
        rows, columns = image.shape[:2] if last else image.shape[-2:]
        shape = (height, width, image.shape[2]) if last else (*image.shape[:-2], height, width)
        resize = partial(_resize, rows=area_weights(rows, height), columns=area_weights(columns, width), channels_last=last)
        changes[key] = Change(_like(image, shape), resize)
    return changes


def _has_pixels(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) in (2, 3) and space.dtype != np.bool_ and 0 not in space.shape


def area_weights(before: int, after: int) -> NDArray[np.float32]:
    """[after, before]: how much of each old pixel a new one covers; each row sums to 1."""
    edges = np.arange(after + 1) * (before / after)
    pixels = np.arange(before)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(overlap, 0.0, None)
    normalised: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return normalised


def _resize(x: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], channels_last: bool) -> NDArray[Any]:
    """[E, H, W, C] or [E, (C,) H, W] by two matrix products: over columns, then over rows."""
    image: NDArray[Any] = np.ascontiguousarray(x.transpose(0, 3, 1, 2) if channels_last else x, np.float32)
    image = np.matmul(rows, image @ columns.T)
    if x.dtype.kind in "iu":
        np.rint(image, out=image)
    result: NDArray[Any] = image.astype(x.dtype)
    return result.transpose(0, 2, 3, 1) if channels_last else result
