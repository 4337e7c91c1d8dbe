"""What the agent sees: the parts of `grid` and `pixels` observations that do not change while a maze lasts.

Both are uint8, 0 or 255 for planes, so that the core's division by 255 gives 0 and 1. Planes come first in a grid; an
image is height, width, colours, as images are, and the wrapper `pixel-format-chw` makes it what convolutions take. The
agent itself is painted by the environments: in a grid the plane `AGENT`, in an image the cell's inside in `AGENT_RGB`.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np
from numpy.typing import NDArray

from arl_plugin_maze.maze import EAST, SOUTH, Maze

GOAL, AGENT, FIRST_PORTAL = 4, 5, 6  # planes of a grid; 0 to 3 are the open sides in the order of the actions
WALL_RGB, FLOOR_RGB, GOAL_RGB, AGENT_RGB = (40, 42, 54), (245, 245, 240), (40, 170, 80), (220, 50, 47)


def grid_shape(size: int, portals: int) -> tuple[int, int, int]:
    """Planes, rows, columns."""
    return FIRST_PORTAL + portals, size, size


def pixel_pitch(size: int) -> int:
    """Pixels from one cell to the next, the wall between them (one pixel) included: about 64 for the whole maze."""
    return max(3, 63 // size)


def pixels_shape(size: int) -> tuple[int, int, int]:
    """Height, width, colours."""
    side = size * pixel_pitch(size) + 1
    return side, side, 3


def portal_rgb(pair: int, pairs: int) -> tuple[int, int, int]:
    """A colour for each pair, from cyan to pink, in turn light and dark: unlike the goal's green and agent's red."""
    red, green, blue = hsv_to_rgb(0.5 + 0.42 * pair / max(1, pairs), 0.65, (0.95, 0.65)[pair % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def grid_background(maze: Maze) -> NDArray[np.uint8]:
    """Planes [6 + portals, size, size]: open sides N, S, E, W, goal, agent (empty), one for each pair of portals."""
    planes = np.zeros((FIRST_PORTAL + len(maze.portals), maze.cells), np.uint8)
    planes[:4] = maze.passages.T
    planes[GOAL, maze.goal] = 1
    for pair, ends in enumerate(maze.portals):
        planes[FIRST_PORTAL + pair, list(ends)] = 1
    planes *= 255
    return planes.reshape(-1, maze.size, maze.size)


def floor_mask(maze: Maze, pitch: int, wall: int) -> NDArray[np.bool_]:
    """Where a picture with cells `pitch` pixels apart and walls `wall` pixels thick shows floor: [side, side] with
    side = size * pitch + wall."""
    size, inner = maze.size, pitch - wall
    open_side = maze.passages.reshape(size, size, 4)
    blocks = np.zeros((size, pitch, size, pitch), np.bool_)  # each cell with the walls to its south and east
    blocks[:, :inner, :, :inner] = True
    blocks[:, inner:, :, :inner] = open_side[:, None, :, None, SOUTH]
    blocks[:, :inner, :, inner:] = open_side[:, None, :, None, EAST]
    return np.pad(blocks.reshape(size * pitch, size * pitch), ((wall, 0), (wall, 0)))


def pixels_background(maze: Maze) -> NDArray[np.uint8]:
    """The image [height, width, 3] without the agent."""
    pitch = pixel_pitch(maze.size)
    image = np.where(floor_mask(maze, pitch, 1)[..., None], np.array(FLOOR_RGB), np.array(WALL_RGB)).astype(np.uint8)
    paint_cell(image, maze, maze.goal, GOAL_RGB)
    for pair, ends in enumerate(maze.portals):
        for cell in ends:
            paint_cell(image, maze, cell, portal_rgb(pair, len(maze.portals)))
    return image


def paint_cell(image: NDArray[np.uint8], maze: Maze, cell: int, rgb: tuple[int, int, int]) -> None:
    """Fill a cell's inside in an image [height, width, 3]."""
    pitch = pixel_pitch(maze.size)
    x, y = maze.position(cell)
    image[y * pitch + 1 : (y + 1) * pitch, x * pitch + 1 : (x + 1) * pitch] = rgb
