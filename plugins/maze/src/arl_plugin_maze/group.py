"""Thousands of mazes stepped together in NumPy: the implementation that the engine uses by itself.

A group step is a look-up in one table. Where an environment stands is kept as `4 * (row of its maze * cells + cell)`:
adding the action gives the index into the table, and the table gives the next place in the same unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, EnvContext, EpisodeEnds, StepViews
from arl_plugin_maze.maze import Maze
from arl_plugin_maze.observe import AGENT, AGENT_RGB, grid_background, pixel_pitch, pixels_background
from arl_plugin_maze.options import MazeOptions
from arl_plugin_maze.solve import GOAL_REWARD, distances, step_reward
from arl_plugin_maze.state import check_fits, pack_mazes, pack_streams, unpack_mazes, unpack_streams
from arl_plugin_maze.task import MazeTask, resolve_task, stream


def make(*, options: MazeOptions | None, contexts: Sequence[EnvContext], **variant: Any) -> MazeGroup:
    """The `vector_maker` of every variant; `variant` are the arguments of `resolve_task`."""
    return MazeGroup(resolve_task(options, **variant), contexts)


class MazeGroup:
    """`EnvGroup` of mazes, one environment a context, equal step for step to `env.MazeEnv`.

    With one maze for the run, every environment shares row 0 of the tables; with a new maze each episode, environment i
    owns row i and draws from its own stream, so its mazes do not depend on its neighbours.
    """

    def __init__(self, task: MazeTask, contexts: Sequence[EnvContext]) -> None:
        if len({context.run_seed for context in contexts}) != 1:
            raise ValueError("a maze group needs at least one environment, and all of one run (run_seed)")
        self.num_envs = envs = len(contexts)
        space = task.observation_space()
        # images as pixel-format-chw leaves them, which stands around the single environment
        shape = (space.shape[2], *space.shape[:2]) if task.observation == "pixels" else space.shape
        self.obs_specs: Mapping[str, ArraySpec] = {"obs": ArraySpec(shape, np.dtype(space.dtype).name)}
        self._task = task
        self._cells = task.size * task.size
        self._step_reward = step_reward(self._cells)
        self._seeds = [context.seed for context in contexts]
        drawing = contexts if task.new_maze_each_episode else ()
        self._streams = [stream(context.run_seed, context.index) for context in drawing]
        self._allocate(envs, rows=envs if task.new_maze_each_episode else 1, background_shape=shape)
        if not task.new_maze_each_episode:
            self._put_maze(0, task.fixed_maze(contexts[0].run_seed))

    def _allocate(self, envs: int, *, rows: int, background_shape: tuple[int, ...]) -> None:
        cells, size = self._cells, self._task.size
        self._mazes = [Maze(size, np.zeros((cells, 4), np.bool_))] * rows  # walled up until the first is drawn
        self._shortest = np.zeros(rows)
        self._table = np.zeros((rows, cells, 4), np.intp)
        self._flat_table = self._table.reshape(-1)
        self._background = None if self._task.observation == "position" else np.zeros((rows, *background_shape), np.uint8)
        self._home = np.zeros(envs, np.intp) if rows == 1 else 4 * cells * np.arange(envs)
        self._goal = self._home + 4 * (cells - 1)
        self._place = self._home.copy()
        self._index = np.zeros(envs, np.intp)
        self._moves = np.zeros(envs, np.uint64)  # unsigned, so that one comparison finds negative actions too
        self._positions = np.stack([np.arange(cells) % size, np.arange(cells) // size], axis=1)
        self._all = np.arange(envs)
        self._clock = 0
        self._born = np.zeros(envs, np.int64)  # the clock at each episode's start
        self._first_limit = self._task.max_steps  # no episode meets its time limit before this clock
        self._ended: NDArray[np.intp] = self._all[:0]  # environments that the next step resets

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """Reset every environment with its context's seed; write first observations."""
        self._ended = self._all[:0]
        if self._task.new_maze_each_episode:
            self._streams = [np.random.default_rng(seed) for seed in self._seeds]
        self._start(self._all)
        self._observe(obs["obs"])

    def send(self, actions: NDArray[Any]) -> None:
        """Take `actions` [E, 1]. Raises ValueError for one other than 0 to 3, unless its environment resets."""
        np.copyto(self._moves, actions[:, 0], casting="unsafe")
        if self._moves.max() > 3:
            self._moves[self._ended] = 0
            wrong = np.flatnonzero(self._moves > 3)
            if wrong.size:
                row = int(wrong[0])
                raise ValueError(f"maze: an action is 0 to 3, environment {row} of the group got {actions[row, 0]}")

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """Step, fill `views`; metrics of the episodes that ended, None where none did."""
        np.add(self._place, self._moves.view(np.int64), out=self._index)
        np.take(self._flat_table, self._index, out=self._place, mode="clip")  # clip: writes to `out` without a detour
        self._clock += 1
        views.rewards.fill(self._step_reward)
        views.valid.fill(True)
        views.truncated.fill(False)
        np.equal(self._place, self._goal, out=views.terminated)
        if self._ended.size:
            self._restart(views)
        ends = self._find_ends(views)
        self._observe(views.obs["obs"])
        return ends

    def _restart(self, views: StepViews) -> None:
        rows = self._ended
        self._start(rows)
        views.terminated[rows] = False
        views.valid[rows] = False
        views.rewards[rows] = 0.0

    def _start(self, rows: NDArray[np.intp]) -> None:
        if self._task.new_maze_each_episode:
            for row in rows.tolist():
                self._put_maze(row, self._task.draw(self._streams[row]))
        self._place[rows] = self._home[rows]
        self._born[rows] = self._clock

    def _find_ends(self, views: StepViews) -> EpisodeEnds | None:
        ended = np.flatnonzero(views.terminated)
        views.rewards[ended] = GOAL_REWARD
        if self._clock >= self._first_limit:
            late = self._clock - self._born >= self._task.max_steps
            np.greater(late, views.terminated, out=views.truncated)
            ended = np.flatnonzero(late | views.terminated)
            self._first_limit = int(self._born.min()) + self._task.max_steps
        self._ended = ended
        return self._summary(ended, views.terminated[ended]) if ended.size else None

    def _summary(self, rows: NDArray[np.intp], solved: NDArray[np.bool_]) -> EpisodeEnds:
        shortest = self._shortest[rows if self._task.new_maze_each_episode else np.zeros_like(rows)]
        optimality = np.where(solved, shortest / (self._clock - self._born[rows]), 0.0)
        return EpisodeEnds(rows, {"solved": solved.astype(float), "shortest": shortest, "optimality": optimality})

    def _observe(self, out: NDArray[Any]) -> None:
        cells = (self._place - self._home) >> 2
        if self._background is None:
            np.take(self._positions, cells, axis=0, out=out, mode="clip")
            return
        np.copyto(out, self._background)
        x, y = cells % self._task.size, cells // self._task.size
        if self._task.observation == "grid":
            out[self._all, AGENT, y, x] = 255
            return
        pitch = pixel_pitch(self._task.size)
        inside = np.arange(1, pitch)
        ys, xs = y[:, None, None] * pitch + inside[:, None], x[:, None, None] * pitch + inside
        for channel, value in enumerate(AGENT_RGB):
            out[self._all[:, None, None], channel, ys, xs] = value

    def _put_maze(self, row: int, maze: Maze) -> None:
        self._mazes[row] = maze
        self._shortest[row] = distances(maze)[maze.start]
        self._table[row] = 4 * (maze.next_cell + row * self._cells)
        if self._background is not None:
            grid = self._task.observation == "grid"
            self._background[row] = grid_background(maze) if grid else pixels_background(maze).transpose(2, 0, 1)

    def end_episodes(self, rows: NDArray[np.int64]) -> bool:
        """The next step resets `rows` [n] too."""
        self._ended = np.union1d(self._ended, rows).astype(np.intp)
        return True

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Everything that changes, as arrays: places, steps, environments about to reset, mazes, random streams."""
        ended = np.zeros(self.num_envs, np.bool_)
        ended[self._ended] = True
        return {
            "cell": (self._place - self._home) >> 2,
            "steps": self._clock - self._born,
            "ended": ended,
            **pack_mazes(self._mazes),
            "streams": pack_streams(self._streams),
        }

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it is of another task or another number of environments."""
        one = (self.num_envs,)
        rows = (len(self._mazes),)
        shapes = {"cell": one, "steps": one, "ended": one, "streams": (len(self._streams), 6)}
        check_fits(state, shapes | {"passages": (*rows, self._cells, 4), "portals": (*rows, self._task.portals, 2)})
        for row, maze in enumerate(unpack_mazes(state, self._task.size)):
            self._put_maze(row, maze)
        self._streams = unpack_streams(state["streams"])
        self._clock = 0
        self._born = -state["steps"].astype(np.int64)
        self._first_limit = 0
        self._place = self._home + 4 * state["cell"].astype(np.intp)
        self._ended = np.flatnonzero(state["ended"])

    def close(self) -> None:
        """Nothing to release."""
