"""What MiniGrid's agent sees, by look-up in an array of numbers: equal to `MiniGridEnv.gen_obs`, several times as fast.

minigrid copies the objects in front of the agent into a new grid, rotates that cell by cell, spreads light through it and
encodes it object by object, at every step. Here each cell has one number, its *code*; the codes of a grid are kept and
changed only where the grid has changed, the view is one look-up at precomputed offsets, and light spreads a row at a time,
as bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_OBJECTS, NUM_COLOURS, NUM_STATES = 11, 6, 4  # states: of a door 3, of the agent in the whole grid 4 directions
_WALL, _DOOR, _AGENT, _GREY = 2, 4, 10, 5
_DOOR_STATES = 3  # open, closed, locked


def code(kind: int, colour: int, state: int) -> int:
    """One number for what is in a cell, below 256; unseen is 0."""
    return (kind * NUM_COLOURS + colour) * _DOOR_STATES + state


UNSEEN, EMPTY = code(0, 0, 0), code(1, 0, 0)
_OUTSIDE = code(_WALL, _GREY, 0)


def _triples() -> NDArray[np.int8]:
    codes = np.arange(256)
    table = np.stack([codes // (NUM_COLOURS * _DOOR_STATES), codes // _DOOR_STATES % NUM_COLOURS, codes % _DOOR_STATES], 1)
    return table.astype(np.int8)


# [256, 3]: object, colour, state of a code
TRIPLES = _triples()
# light does not pass walls and doors that are not open; "0" or "1" for each code
_OPAQUE = bytes(ord("1") if kind == _WALL or (kind == _DOOR and state) else ord("0") for kind, _, state in TRIPLES.tolist())


class GridCodes:
    """The codes of a grid's cells, kept up to date.

    A cell changes when another object is put there, which comparing lists of objects finds, or when its object changes
    itself, as a door does: objects whose class encodes in its own way are looked at each time.
    """

    def __init__(self, width: int, height: int, margin: int) -> None:
        self.margin = margin
        self.stride = width + 2 * margin
        self.padded = np.full((height + 2 * margin, self.stride), _OUTSIDE, np.uint8)  # walls all around, as minigrid has it
        self.inner = self.padded[margin : margin + height, margin : margin + width]  # [height, width]
        self._flat = self.padded.reshape(-1)
        self._width = width
        self._cells: list[Any] = []
        self._changing: dict[int, Any] = {}  # place in the grid -> object

    def update(self, cells: list[Any]) -> NDArray[np.uint8]:
        """Take over a grid's list of objects (or None), row by row; returns all codes, padded, [height * stride]."""
        if cells != self._cells:  # identity first: it costs next to nothing where nothing has changed
            before = self._cells or [self] * len(cells)  # not an object: everything is new
            for place, (old, new) in enumerate(zip(before, cells, strict=True)):
                if old is not new:
                    self._put(place, new)
            self._cells = cells.copy()
        for place, thing in self._changing.items():
            self.inner[divmod(place, self._width)] = code(*thing.encode())
        return self._flat

    def _put(self, place: int, thing: Any) -> None:
        self._changing.pop(place, None)
        if thing is not None and type(thing).encode is not _plain_encode():
            self._changing[place] = thing
        self.inner[divmod(place, self._width)] = EMPTY if thing is None else code(*thing.encode())


@lru_cache(maxsize=1)
def _plain_encode() -> Any:
    from minigrid.core.world_object import WorldObj

    return WorldObj.encode


class Eye:
    """An agent's view of `size` x `size` cells: the agent in the middle of the nearest row, looking ahead."""

    def __init__(self, size: int, stride: int, margin: int, see_through_walls: bool) -> None:
        self._size = size
        self._stride = stride
        self._margin = margin
        self._see_through_walls = see_through_walls
        self._offsets = [self._offsets_towards(dx, dy) for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1))]
        self._agent = size // 2
        self._row = (1 << size) - 1
        self._all_lit = np.full((size, size), 255, np.uint8)

    def _offsets_towards(self, dx: int, dy: int) -> NDArray[np.intp]:
        """[size, size] from the agent's place: row j is j cells ahead, from left to right."""
        ahead = np.arange(self._size)[:, None]
        aside = np.arange(self._size) - self._size // 2
        return (ahead * dy + aside * dx) * self._stride + ahead * dx - aside * dy

    def look(self, codes: NDArray[np.uint8], x: int, y: int, direction: int, carried: int) -> NDArray[np.uint8]:
        """Codes [size, size] as seen: row j is j cells ahead, from left to right; UNSEEN in the dark. `carried` is the code of
        what the agent has in its hands, which is seen where it stands."""
        place = (y + self._margin) * self._stride + x + self._margin
        seen: NDArray[np.uint8] = codes.take(self._offsets[direction] + place)
        if not self._see_through_walls:
            seen &= self._lit(seen.tobytes())
        seen[0, self._agent] = carried
        return seen

    def _lit(self, seen: bytes) -> NDArray[np.uint8]:
        """[size, size]: 255 where there is light, else 0. It spreads from the agent, row by row (`Grid.process_vis`)."""
        size, row = self._size, self._row
        opaque = int(seen.translate(_OPAQUE), 2)
        light, shift, rows = 1 << self._agent, size * (size - 1), []
        for _ in range(size):
            spread = _spread(light, opaque >> shift & row, size)
            rows.append(spread.shown)
            light = spread.ahead
            shift -= size
        return np.frombuffer(b"".join(rows), np.uint8).reshape(size, size)


class _Spread(NamedTuple):
    shown: bytes  # a row, 255 where it is lit
    ahead: int  # bits of the next row that light falls on


@lru_cache(maxsize=1 << 16)
def _spread(light: int, opaque: int, size: int) -> _Spread:
    """Light in one row: to the right as far as it gets, then to the left; from each cell that lets it through it falls
    straight ahead and aside. The leftmost cell is the highest bit."""
    ahead = 0
    for cells, step in ((range(size - 1), 1), (range(size - 1, 0, -1), -1)):
        for i in cells:
            bit = 1 << (size - 1 - i)
            if light & bit and not opaque & bit:
                beside = 1 << (size - 1 - i - step)
                light |= beside
                ahead |= bit | beside
    return _Spread(bytes(255 * (light >> (size - 1 - i) & 1) for i in range(size)), ahead)


def as_image(seen: NDArray[np.uint8]) -> NDArray[np.int8]:
    """minigrid's order: [size, size, 3], from left to right, then from far to near."""
    image: NDArray[np.int8] = TRIPLES.take(seen[::-1].T, axis=0)
    return image


def whole_image(codes: GridCodes, x: int, y: int, direction: int) -> NDArray[np.int8]:
    """All cells, [width, height, 3], and in the agent's own (agent, red, direction), as `FullyObsWrapper` has it."""
    image: NDArray[np.int8] = TRIPLES.take(codes.inner.T, axis=0)
    image[x, y] = (_AGENT, 0, direction)
    return image
