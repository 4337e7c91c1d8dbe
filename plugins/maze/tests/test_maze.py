"""The generator, the data and the solver."""

from collections import deque

import numpy as np
import pytest
from arl_plugin_maze.generate import generate_maze
from arl_plugin_maze.maze import EAST, NORTH, SOUTH, WEST, Maze
from arl_plugin_maze.solve import distances, optimal_return, shortest_actions, shortest_path
from arl_plugin_maze.task import resolve_task
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def mazes(draw: st.DrawFn) -> Maze:
    size = draw(st.integers(2, 9))
    portals = draw(st.integers(0, min(3, (size * size - 2) // 2)))
    loops = draw(st.sampled_from([0.0, 0.2, 1.0]))
    return generate_maze(np.random.default_rng(draw(st.integers(0, 2**32))), size, loops=loops, portals=portals)


def forward_distance(maze: Maze, start: int) -> int:
    """The textbook search, from where one stands to the goal."""
    steps, queue = {start: 0}, deque([start])
    while queue:
        cell = queue.popleft()
        if cell == maze.goal:
            return steps[cell]
        for there in maze.next_cell[cell].tolist():
            if there not in steps:
                steps[there] = steps[cell] + 1
                queue.append(there)
    return -1


@settings(deadline=None)
@given(mazes())
def test_every_cell_of_every_maze_leads_to_the_goal_and_the_distances_are_exact(maze: Maze) -> None:
    steps = distances(maze)
    assert steps.min() >= 0
    assert steps.tolist() == [forward_distance(maze, cell) for cell in range(maze.cells)]


@settings(deadline=None)
@given(mazes())
def test_both_cells_of_a_side_agree_and_the_border_is_closed(maze: Maze) -> None:
    sides = maze.passages.reshape(maze.size, maze.size, 4)
    assert (sides[:, :-1, EAST] == sides[:, 1:, WEST]).all()
    assert (sides[:-1, :, SOUTH] == sides[1:, :, NORTH]).all()
    border = (sides[0, :, NORTH], sides[-1, :, SOUTH], sides[:, 0, WEST], sides[:, -1, EAST])
    assert not np.concatenate(border).any()


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32))
def test_without_loops_a_maze_is_a_spanning_tree(size: int, seed: int) -> None:
    maze = generate_maze(np.random.default_rng(seed), size)
    assert maze.passages.sum() == 2 * (size * size - 1)  # and connected, as tested above


def test_loops_open_so_many_walls_and_portals_are_distinct_cells() -> None:
    maze = generate_maze(np.random.default_rng(1), 10, loops=0.2, portals=3)
    assert maze.passages.sum() == 2 * (99 + 20)
    ends = np.ravel(maze.portals)
    assert len(set(ends.tolist())) == 6
    assert not {maze.start, maze.goal} & set(ends.tolist())
    assert generate_maze(np.random.default_rng(1), 4, loops=1.0).passages.sum() == 2 * 24  # no inner wall is left


def test_a_portal_takes_one_to_its_partner_both_ways() -> None:
    passages = np.zeros((9, 4), bool)
    for cell, way, back, there in ((0, EAST, WEST, 1), (1, EAST, WEST, 2), (7, EAST, WEST, 8), (4, EAST, WEST, 5)):
        passages[cell, way] = passages[there, back] = True
    maze = Maze(3, passages, ((1, 7),))
    assert maze.next_cell[0, EAST] == 7
    assert maze.next_cell[8, WEST] == 1
    assert maze.next_cell[7, EAST] == 8
    assert maze.next_cell[0, NORTH] == 0
    assert shortest_path(maze) == [0, 7, 8]
    assert shortest_actions(maze) == [EAST, EAST]
    assert optimal_return(maze) == pytest.approx(1 - 0.1 / 9)
    with pytest.raises(ValueError, match="no way"):
        shortest_path(maze, start=4)


def test_the_sample_mazes_never_change() -> None:
    def sample(size: int) -> str:
        maze = resolve_task(None, kind="sample", size=size).fixed_maze(run_seed=99)
        return np.packbits(maze.passages).tobytes().hex()

    assert sample(3) == "2544ccab90"
    assert sample(5) == "42375c639ca961c61e39a3b310"


def test_too_many_portals_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        generate_maze(np.random.default_rng(0), 3, portals=4)
