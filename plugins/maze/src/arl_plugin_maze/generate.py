"""Drawing mazes: randomised depth-first search with backtracking, then loops, then portals.

Every draw is a call of `Generator.random`, so the same generator state gives the same maze on every platform.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from arl_plugin_maze.maze import DELTAS, EAST, NORTH, SOUTH, WEST, Maze
from arl_plugin_maze.solve import distances

_OPPOSITE = {NORTH: SOUTH, SOUTH: NORTH, EAST: WEST, WEST: EAST}


def generate_maze(rng: np.random.Generator, size: int, *, loops: float = 0.0, portals: int = 0) -> Maze:
    """A maze of `size` x `size` cells (`size` >= 2) whose goal can be reached from every cell.

    Without loops it is a spanning tree (one way between any two cells). `loops` opens that many further walls per cell
    (0.2: one for every five cells; at most all). `portals` is the number of pairs, `2 * portals <= cells - 2`.
    """
    if 2 * portals > size * size - 2:
        raise ValueError(f"{portals} pairs of portals do not fit into {size}x{size} cells beside start and goal")
    passages = _carve(rng, size)
    if loops > 0:
        _open_walls(rng, passages, size, loops)
    while True:
        maze = Maze(size, passages, _draw_portals(rng, size * size, portals))
        if distances(maze).min() >= 0:  # portals side by side can cut the maze in two: draw them again
            return maze


@cache
def _orders(width: int) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """The 24 orders in which a cell's neighbours may be tried, each of (offset, direction, way back)."""
    sides = [(dx + dy * width, way, _OPPOSITE[way]) for way, (dx, dy) in enumerate(DELTAS)]
    return tuple(permutations(sides))


def _carve(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Passages [cells, 4] of a spanning tree. A border of visited cells spares the search all bounds checks.

    Each cell draws beforehand the order in which it tries its neighbours: the same distribution as drawing among the
    unvisited ones at every visit, for one call of the generator a maze.
    """
    width = size + 2
    orders = _orders(width)
    drawn = (rng.random(width * width) * len(orders)).astype(np.intp).tolist()
    unvisited = np.pad(np.ones((size, size), np.uint8), 1).tobytes()
    fresh = bytearray(unvisited)
    opened = bytearray(width * width * 4)
    cell = width + 1
    fresh[cell] = 0
    trail = [(cell, iter(orders[drawn[cell]]))]
    while trail:
        cell, untried = trail[-1]
        for offset, way, back in untried:
            there = cell + offset
            if fresh[there]:
                fresh[there] = 0
                opened[4 * cell + way] = opened[4 * there + back] = 1
                trail.append((there, iter(orders[drawn[there]])))
                break
        else:
            trail.pop()
    padded = np.frombuffer(opened, np.bool_).reshape(width, width, 4)
    return np.ascontiguousarray(padded[1:-1, 1:-1]).reshape(size * size, 4)


def _open_walls(rng: np.random.Generator, passages: NDArray[np.bool_], size: int, loops: float) -> None:
    """Open `loops * cells` closed inner walls, drawn uniformly, in place."""
    cells = np.arange(size * size)
    east = cells[(cells % size < size - 1) & ~passages[:, EAST]]
    south = cells[(cells < size * (size - 1)) & ~passages[:, SOUTH]]
    count = round(loops * size * size)
    chosen = np.argsort(rng.random(len(east) + len(south)))[:count]
    east, south = east[chosen[chosen < len(east)]], south[chosen[chosen >= len(east)] - len(east)]
    passages[east, EAST] = passages[east + 1, WEST] = True
    passages[south, SOUTH] = passages[south + size, NORTH] = True


def _draw_portals(rng: np.random.Generator, cells: int, pairs: int) -> tuple[tuple[int, int], ...]:
    """Pairs of distinct cells, start and goal left out."""
    if not pairs:
        return ()
    ends = (1 + np.argsort(rng.random(cells - 2))[: 2 * pairs]).tolist()
    return tuple(zip(ends[::2], ends[1::2], strict=True))
