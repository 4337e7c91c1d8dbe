"""A maze as data: which sides of which cells are open, and which cells are portals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NORTH, SOUTH, EAST, WEST = range(4)  # the actions, in gym-maze's order
DELTAS = ((0, -1), (0, 1), (1, 0), (-1, 0))  # (dx, dy) of each action; y grows downwards


@dataclass(frozen=True, eq=False)
class Maze:
    """A square maze of `size` x `size` cells, numbered row by row: cell = y * size + x, (0, 0) top left.

    `passages` [cells, 4] bool: whether the side in the direction of each action is open; both cells of a side agree,
    and the outer sides are closed. `portals` are pairs of cells: who steps onto one stands on the other. Neither start
    nor goal is a portal.
    """

    size: int
    passages: NDArray[np.bool_]
    portals: tuple[tuple[int, int], ...] = ()

    @property
    def cells(self) -> int:
        """How many cells."""
        return self.size * self.size

    @property
    def start(self) -> int:
        """The cell at the top left."""
        return 0

    @property
    def goal(self) -> int:
        """The cell at the bottom right."""
        return self.cells - 1

    @cached_property
    def partner(self) -> NDArray[np.intp]:
        """[cells]: where one stands after stepping onto a cell: itself, or the other end of its portal."""
        partner = np.arange(self.cells)
        for one, other in self.portals:
            partner[one], partner[other] = other, one
        return partner

    @cached_property
    def next_cell(self) -> NDArray[np.intp]:
        """[cells, 4]: where each action leads from each cell (into a wall: nowhere; onto a portal: to its partner)."""
        here = np.arange(self.cells)[:, None]
        there = here + np.array([dx + dy * self.size for dx, dy in DELTAS])
        moved: NDArray[np.intp] = self.partner[np.where(self.passages, there, 0)]
        return np.where(self.passages, moved, here)

    def position(self, cell: int) -> tuple[int, int]:
        """(x, y) of a cell."""
        return cell % self.size, cell // self.size
