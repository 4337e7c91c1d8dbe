"""What NetHack shows, as observations and pictures: crops around the agent, glyphs drawn as tiles."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_plugin_minihack.options import MiniHackOptions

MAP_SHAPE = (21, 79)  # rows, columns
NO_GLYPH = 5976  # NetHack's own number for nothing; here what is outside the map
NUM_BLSTATS = 27
FULL_TILE = 16  # pixels


def observation_space(options: MiniHackOptions) -> spaces.Space[Any]:
    """glyphs, crop: a Dict of `glyphs_crop` int16 [crop, crop], `blstats` int64 [27] and, first, `glyphs` int16 [21, 79];
    pixel, pixel_crop: uint8 [rows * tile, columns * tile, 3]."""
    crop = (options.crop_size, options.crop_size)
    if options.observation in ("pixel", "pixel_crop"):
        rows, columns = MAP_SHAPE if options.observation == "pixel" else crop
        size = tile_size(options)
        return spaces.Box(0, 255, (rows * size, columns * size, 3), np.uint8)
    int32 = np.iinfo(np.int32)  # NLE's own bounds
    parts: dict[str, spaces.Space[Any]] = {
        "glyphs_crop": spaces.Box(0, NO_GLYPH, crop, np.int16),
        "blstats": spaces.Box(int32.min, int32.max, (NUM_BLSTATS,), np.int64),
    }
    if options.observation == "glyphs":
        parts = {"glyphs": spaces.Box(0, NO_GLYPH, MAP_SHAPE, np.int16), **parts}
    return spaces.Dict(parts)


def tile_size(options: MiniHackOptions) -> int:
    """Pixels along each side of a cell."""
    return options.tile_size or (4 if options.observation == "pixel" else FULL_TILE)


def cropped(glyphs: NDArray[np.int16], x: int, y: int, size: int) -> NDArray[np.int16]:
    """int16 [size, size] of a map [21, 79], with column x and row y in the middle; NO_GLYPH beyond its edges."""
    half = size // 2
    top, left = y - half, x - half
    rows, columns = glyphs.shape
    crop = np.full((size, size), NO_GLYPH, np.int16)
    y0, y1 = max(top, 0), min(top + size, rows)
    x0, x1 = max(left, 0), min(left + size, columns)
    crop[y0 - top : y1 - top, x0 - left : x1 - left] = glyphs[y0:y1, x0:x1]
    return crop


def drawn(glyphs: NDArray[np.int16], size: int) -> NDArray[np.uint8]:
    """Glyphs [H, W] as tiles of `size` pixels: uint8 [H * size, W * size, 3]."""
    rows, columns = glyphs.shape
    image: NDArray[np.uint8] = _tiles(size)[glyphs].swapaxes(1, 2).reshape(rows * size, columns * size, 3)
    return image


@cache
def _tiles(size: int) -> NDArray[np.uint8]:
    """uint8 [5977, size, size, 3]: minihack's tile of each glyph, averaged down to `size`; NO_GLYPH is black."""
    import minihack.tiles

    with (Path(minihack.tiles.__file__).parent / "tiles.pkl").open("rb") as file:  # a part of minihack, as trusted as its code
        tiles = pickle.load(file)
    table = np.zeros((NO_GLYPH + 1, FULL_TILE, FULL_TILE, 3), np.uint8)
    table[:NO_GLYPH] = np.stack([tiles[tile] for tile in range(len(tiles))])[np.array(minihack.tiles.glyph2tile)]
    step = FULL_TILE // size
    blocks = table.reshape(NO_GLYPH + 1, size, step, size, step, 3)
    averaged: NDArray[np.uint8] = np.round(blocks.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return averaged
