"""Mazes and random streams as plain arrays, for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_plugin_maze.maze import Maze


def pack_mazes(mazes: Sequence[Maze]) -> dict[str, NDArray[Any]]:
    """`passages` [M, cells, 4] bool and `portals` [M, pairs, 2] int64 of mazes that are alike in size and pairs."""
    portals = np.array([maze.portals for maze in mazes], np.int64).reshape(len(mazes), -1, 2)
    return {"passages": np.stack([maze.passages for maze in mazes]), "portals": portals}


def unpack_mazes(state: Mapping[str, NDArray[Any]], size: int) -> list[Maze]:
    """The mazes of `size` x `size` cells that `pack_mazes` saved."""
    pairs = [tuple((int(one), int(other)) for one, other in portals) for portals in state["portals"]]
    return [Maze(size, passages.copy(), ends) for passages, ends in zip(state["passages"], pairs, strict=True)]


def pack_streams(streams: Sequence[np.random.Generator]) -> NDArray[np.uint64]:
    """[S, 6]: the state of each generator."""
    return np.array([rng_to_array(rng) for rng in streams], np.uint64).reshape(-1, 6)


def unpack_streams(saved: NDArray[np.uint64]) -> list[np.random.Generator]:
    """The generators that `pack_streams` saved."""
    return [rng_from_array(row) for row in saved]


def check_fits(state: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError, naming the first difference, unless `state` has just these arrays."""
    for key in [*shapes, *state]:
        given = state[key].shape if key in state else "nothing"
        needed = shapes.get(key, "nothing")
        if given != needed:
            raise ValueError(f"the saved state is of other mazes: '{key}' has {given}, this task needs {needed}")
