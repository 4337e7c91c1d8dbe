"""One maze as a `gymnasium.Env`: the plain implementation, for gymnasium users, pictures, and to check the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.interfaces import EnvContext, UserError
from arl_plugin_maze.maze import Maze
from arl_plugin_maze.observe import AGENT, AGENT_RGB, grid_background, paint_cell, pixels_background
from arl_plugin_maze.options import MazeOptions
from arl_plugin_maze.render import render_maze
from arl_plugin_maze.solve import GOAL_REWARD, distances, step_reward
from arl_plugin_maze.state import check_fits, pack_mazes, pack_streams, unpack_mazes, unpack_streams
from arl_plugin_maze.task import MazeTask, resolve_task, stream


def make(*, options: MazeOptions | None, context: EnvContext, **variant: Any) -> MazeEnv:
    """The `maker` of every variant; `variant` are the arguments of `resolve_task`."""
    return MazeEnv(resolve_task(options, **variant), context)


class MazeEnv(gymnasium.Env[NDArray[Any], np.int64]):
    """Walk from the top left to the bottom right.

    Actions 0 to 3: north, south, east, west; into a wall: stay. Reward 1 at the goal, -0.1 / cells for any other step.
    Terminates at the goal, truncates after `task.max_steps`. At the end `info` holds `solved` (0 or 1), `shortest`
    (steps of the shortest way) and `optimality` (shortest / steps, 0 if unsolved).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, task: MazeTask, context: EnvContext) -> None:
        if context.render_mode not in (None, "rgb_array"):
            raise UserError(f"maze: no render mode '{context.render_mode}'; the choice is 'rgb_array' or none")
        self.task = task
        self.render_mode = context.render_mode
        self.action_space = spaces.Discrete(4)
        self.observation_space = task.observation_space()
        self.np_random = stream(context.run_seed, context.index)
        self._fixed = None if task.new_maze_each_episode else task.fixed_maze(context.run_seed)
        self._cell = self._steps = 0
        self._path: list[int] = []  # cells of the episode so far, kept for rendering only
        if self._fixed is not None:
            self._enter(self._fixed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """Back to the start: of the run's maze, or of the stream's next one. `seed` restarts the stream."""
        super().reset(seed=seed, options=options)
        self._enter(self._fixed or self.task.draw(self.np_random))
        return self._observation(), {}

    def step(self, action: int | np.int64) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """One move. Raises ValueError for an action other than 0 to 3."""
        if not 0 <= action <= 3:
            raise ValueError(f"maze: an action is 0 to 3 (north, south, east, west), got {action!r}")
        self._cell = int(self.maze.next_cell[self._cell, int(action)])
        self._steps += 1
        if self.render_mode is not None:
            self._path.append(self._cell)
        terminated = self._cell == self.maze.goal
        truncated = not terminated and self._steps >= self.task.max_steps
        reward = GOAL_REWARD if terminated else step_reward(self.maze.cells)
        info = self._summary(terminated) if terminated or truncated else {}
        return self._observation(), reward, terminated, truncated, info

    def render(self) -> Any:
        """The maze with the path trodden in this episode, uint8 [height, width, 3]; None without a render mode."""
        return None if self.render_mode is None else render_maze(self.maze, self._path, agent=self._cell)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that `set_state` needs to go on exactly, once the environment has been reset."""
        return {
            "cell": np.array(self._cell),
            "steps": np.array(self._steps),
            **pack_mazes([self.maze]),
            "streams": pack_streams([self.np_random]),
        }

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state; a picture's path begins there. Raises ValueError where it is of another task."""
        cells, pairs = self.task.size**2, self.task.portals
        check_fits(state, {"cell": (), "steps": (), "passages": (1, cells, 4), "portals": (1, pairs, 2), "streams": (1, 6)})
        self._enter(unpack_mazes(state, self.task.size)[0])
        self._cell, self._steps = int(state["cell"]), int(state["steps"])
        self._path = [self._cell]
        self.np_random = unpack_streams(state["streams"])[0]

    def _enter(self, maze: Maze) -> None:
        self.maze = maze
        self._cell = maze.start
        self._steps = 0
        self._path = [maze.start]
        self._background = self._draw_background()

    def _draw_background(self) -> NDArray[np.uint8] | None:
        if self.task.observation == "grid":
            return grid_background(self.maze)
        return pixels_background(self.maze) if self.task.observation == "pixels" else None

    def _observation(self) -> NDArray[Any]:
        x, y = self.maze.position(self._cell)
        if self._background is None:
            return np.array([x, y])
        seen = self._background.copy()
        if self.task.observation == "grid":
            seen[AGENT, y, x] = 255
        else:
            paint_cell(seen, self.maze, self._cell, AGENT_RGB)
        return seen

    def _summary(self, solved: bool) -> dict[str, float]:
        shortest = float(distances(self.maze)[self.maze.start])
        return {"solved": float(solved), "shortest": shortest, "optimality": shortest / self._steps if solved else 0.0}
