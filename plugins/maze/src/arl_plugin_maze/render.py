"""Pictures of mazes, in NumPy alone: walls, start, goal, portals, the path, the agent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from arl_plugin_maze.maze import Maze
from arl_plugin_maze.observe import floor_mask, portal_rgb

RGB = tuple[int, int, int]
WALL: RGB = (43, 48, 66)
FLOOR: RGB = (250, 248, 243)
START: RGB = (205, 232, 250)
GOAL: RGB = (186, 231, 193)
GOAL_MARK: RGB = (38, 150, 75)
PATH_OLD: RGB = (190, 208, 238)
PATH_NEW: RGB = (32, 84, 190)
AGENT: RGB = (220, 50, 47)
_OVERSAMPLING = 3  # drawn so many times larger and averaged down: smooth edges


def render_maze(
    maze: Maze, path: Sequence[int] = (), *, agent: int | None = None, scale: int | None = None
) -> NDArray[np.uint8]:
    """A picture of `maze`, uint8 [height, width, 3], cells `scale` pixels apart (default: about 640 for the whole).

    `path` are the cells stood on, in order (such as `solve.shortest_path`): a line that grows from pale to deep blue,
    and breaks where a portal was taken. `agent` is the cell to draw the agent in.
    """
    pitch = (scale or min(48, max(6, 640 // maze.size))) * _OVERSAMPLING
    canvas = _Canvas(maze, pitch)
    canvas.fill(maze.start, START)
    canvas.fill(maze.goal, GOAL)
    for pair, ends in enumerate(maze.portals):
        for cell in ends:
            canvas.ring(cell, portal_rgb(pair, len(maze.portals)), outer=0.36, inner=0.2)
    canvas.draw_path(path)
    canvas.ring(maze.goal, GOAL_MARK, outer=0.27)
    if agent is not None:
        canvas.ring(agent, FLOOR, outer=0.33)
        canvas.ring(agent, AGENT, outer=0.27)
    return canvas.averaged()


class _Canvas:
    """The oversampled picture; lengths in its methods are fractions of a cell."""

    def __init__(self, maze: Maze, pitch: int) -> None:
        self.maze = maze
        self.pitch = pitch
        self.wall = max(1, pitch // (8 * _OVERSAMPLING)) * _OVERSAMPLING
        floor = floor_mask(maze, pitch, self.wall)
        self.pixels = np.where(floor[..., None], np.array(FLOOR), np.array(WALL)).astype(np.uint8)

    def _centre(self, cell: int) -> tuple[int, int]:
        x, y = self.maze.position(cell)
        half = (self.pitch + self.wall) // 2
        return x * self.pitch + half, y * self.pitch + half

    def fill(self, cell: int, rgb: RGB) -> None:
        """The cell's floor."""
        x, y = self.maze.position(cell)
        top, left = y * self.pitch + self.wall, x * self.pitch + self.wall
        inner = self.pitch - self.wall
        self.pixels[top : top + inner, left : left + inner] = rgb

    def ring(self, cell: int, rgb: RGB, *, outer: float, inner: float = 0.0) -> None:
        """A ring, or with `inner` 0 a disc, in the middle of the cell."""
        x, y = self._centre(cell)
        reach = round(outer * self.pitch)
        offsets = np.arange(-reach, reach + 1)
        radius = np.hypot(offsets[:, None], offsets)
        box = self.pixels[y - reach : y + reach + 1, x - reach : x + reach + 1]
        box[(radius <= outer * self.pitch) & (radius >= inner * self.pitch)] = rgb

    def draw_path(self, path: Sequence[int]) -> None:
        """A segment for each move, the latest on top; a side walked several times is drawn once, as the last time."""
        segments: dict[tuple[int, int], int] = {}
        for moment, (cell, there) in enumerate(pairwise(path)):
            over = self._stepped_on(cell, there)
            side = (min(cell, over), max(cell, over))
            segments.pop(side, None)  # to the end of the order: drawn last
            if over != cell:
                segments[side] = moment
        for (one, other), moment in segments.items():
            age = moment / max(1, len(path) - 2)
            old, new = np.array(PATH_OLD), np.array(PATH_NEW)
            red, green, blue = np.rint(old + (new - old) * age).astype(int).tolist()
            self._segment(one, other, (red, green, blue))

    def _stepped_on(self, cell: int, there: int) -> int:
        """The cell beside `cell` by which one comes to stand on `there`: `there`, or the portal that leads there."""
        (actions,) = np.nonzero(self.maze.next_cell[cell] == there)
        return int(self.maze.partner[there]) if len(actions) and there != cell else cell

    def _segment(self, one: int, other: int, rgb: RGB) -> None:
        (x0, y0), (x1, y1) = self._centre(one), self._centre(other)
        half = max(1, round(0.09 * self.pitch))
        self.pixels[min(y0, y1) - half : max(y0, y1) + half + 1, min(x0, x1) - half : max(x0, x1) + half + 1] = rgb

    def averaged(self) -> NDArray[np.uint8]:
        """The picture at its real size."""
        side = self.pixels.shape[0] // _OVERSAMPLING
        blocks = self.pixels.reshape(side, _OVERSAMPLING, side, _OVERSAMPLING, 3)
        image: NDArray[np.uint8] = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
        return image
