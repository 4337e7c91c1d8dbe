"""The best way through a maze, by breadth-first search: exact distances, a shortest path, the optimal return."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arl_plugin_maze.maze import Maze

GOAL_REWARD = 1.0


def step_reward(cells: int) -> float:
    """The reward of every step that does not reach the goal (gym-maze's)."""
    return -0.1 / cells


def distances(maze: Maze) -> NDArray[np.intp]:
    """[cells]: the fewest steps from each cell to the goal; -1 where there is no way.

    A move c -> e (perhaps through a portal) has the mirrored move partner(e) -> partner(c), so the way from c to the
    goal is as long as the way from the goal to partner(c): one search from the goal answers for every cell.
    """
    moves: list[list[int]] = maze.next_cell.tolist()
    steps = [-1] * maze.cells
    steps[maze.goal] = 0
    reached = [maze.goal]
    for cell in reached:  # grows while it is walked: a queue
        further = steps[cell] + 1
        for there in moves[cell]:
            if steps[there] < 0:
                steps[there] = further
                reached.append(there)
    return np.array(steps)[maze.partner]


def shortest_actions(maze: Maze, start: int | None = None) -> list[int]:
    """Actions of a shortest way from `start` (default: the maze's) to the goal. ValueError if there is none."""
    steps = distances(maze)
    cell = maze.start if start is None else start
    if steps[cell] < 0:
        raise ValueError(f"no way leads from cell {cell} to the goal")
    actions = []
    while cell != maze.goal:
        action = int(np.argmax(steps[maze.next_cell[cell]] == steps[cell] - 1))
        actions.append(action)
        cell = int(maze.next_cell[cell, action])
    return actions


def shortest_path(maze: Maze, start: int | None = None) -> list[int]:
    """Cells of a shortest way from `start` to the goal, both included. Raises ValueError where there is none."""
    path = [maze.start if start is None else start]
    for action in shortest_actions(maze, start):
        path.append(int(maze.next_cell[path[-1], action]))
    return path


def optimal_return(maze: Maze) -> float:
    """The greatest undiscounted return, time limit aside. Raises ValueError if no way leads to the goal."""
    return GOAL_REWARD + step_reward(maze.cells) * (len(shortest_actions(maze)) - 1)
