"""Pictures of what the agent sees, put together from minigrid's own tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_plugin_minigrid.view import EMPTY, TRIPLES, UNSEEN

_UP = 3  # the direction that an agent's own view has


class Tiles:
    """minigrid's tiles by the code of a cell, drawn when they are first seen."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lit = np.zeros((256, size, size, 3), np.uint8)
        self._drawn = np.zeros(256, np.bool_)
        self._agents: dict[int, NDArray[np.uint8]] = {}

    def picture(self, seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes [n, n], the agent's own row first, as an image uint8 [n * size, n * size, 3]."""
        if not self._drawn[seen].all():
            for cell in np.unique(seen).tolist():
                self._lit[cell] = _tile(cell, self.size, lit=cell != UNSEEN)
                self._drawn[cell] = True
        n, size = len(seen), self.size
        image: NDArray[np.uint8] = self._lit[seen[::-1]].swapaxes(1, 2).reshape(n * size, n * size, 3)
        middle = n // 2
        image[-size:, middle * size : (middle + 1) * size] = self._agent_tile(int(seen[0, middle]))
        return image

    def _agent_tile(self, carried: int) -> NDArray[np.uint8]:
        if carried not in self._agents:
            self._agents[carried] = _tile(carried, self.size, lit=True, agent_dir=_UP)
        return self._agents[carried]


def _tile(cell: int, size: int, *, lit: bool, agent_dir: int | None = None) -> NDArray[np.uint8]:
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    thing: Any = None if cell in (UNSEEN, EMPTY) else WorldObj.decode(*TRIPLES[cell].tolist())
    tile: NDArray[np.uint8] = Grid.render_tile(thing, agent_dir=agent_dir, highlight=lit, tile_size=size)
    return tile
