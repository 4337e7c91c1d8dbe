"""The one specification that both implementations, `env.MazeEnv` and `group.MazeGroup`, follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from gymnasium import spaces

from arl_core.interfaces import UserError
from arl_plugin_maze.generate import generate_maze
from arl_plugin_maze.maze import Maze
from arl_plugin_maze.observe import grid_shape, pixels_shape
from arl_plugin_maze.options import MazeOptions

Kind = Literal["sample", "random"]
_SAMPLE_SEED = 4  # fixes the layouts of the sample mazes
_RUN_MAZE_KEY = 0x6D617A65  # sets the run's maze apart from the streams of its environments


@dataclass(frozen=True)
class MazeTask:
    """A variant with its options applied: every question answered."""

    kind: Kind
    size: int
    loops: float
    portals: int
    max_steps: int
    observation: Literal["position", "grid", "pixels"]
    new_maze_each_episode: bool

    def draw(self, rng: np.random.Generator) -> Maze:
        """The generator's next maze."""
        return generate_maze(rng, self.size, loops=self.loops, portals=self.portals)

    def fixed_maze(self, run_seed: int) -> Maze:
        """The one maze of a run without `new_maze_each_episode`: the same for every environment, and in evaluation."""
        if self.kind == "sample":
            return self.draw(np.random.default_rng(_SAMPLE_SEED))
        return self.draw(np.random.default_rng(np.random.SeedSequence(run_seed, spawn_key=(_RUN_MAZE_KEY,))))

    def observation_space(self) -> spaces.Box:
        """position: int64 [2]; grid: uint8 [6 + portals, size, size]; pixels: uint8 [height, width, 3]."""
        if self.observation == "position":
            return spaces.Box(0, self.size - 1, (2,), np.int64)
        shape = grid_shape(self.size, self.portals) if self.observation == "grid" else pixels_shape(self.size)
        return spaces.Box(0, 255, shape, np.uint8)


def stream(run_seed: int, index: int) -> np.random.Generator:
    """The generator of environment `index` before anybody seeds it by `reset(seed=...)`."""
    return np.random.default_rng(np.random.SeedSequence(run_seed, spawn_key=(index,)))


def resolve_task(
    options: MazeOptions | None,
    *,
    kind: Kind,
    size: int,
    loops: float = 0.0,
    portals: int = 0,
    max_steps: int | None = None,
) -> MazeTask:
    """A variant (keyword arguments) with the user's options on top. Raises UserError for what does not go together.

    Another size takes the time limit along: the variant's own holds for the variant's own size.
    """
    chosen = options or MazeOptions()
    if chosen.size is not None and chosen.size != size:
        size, max_steps = chosen.size, None
    loops = loops if chosen.loops is None else chosen.loops
    portals = portals if chosen.portals is None else chosen.portals
    if chosen.new_maze_each_episode and kind == "sample":
        raise UserError(
            "maze.new_maze_each_episode: a sample maze is always the same one; "
            f"use a random maze, such as --env maze:random-{size}x{size} or maze:random-5x5 with --maze.size {size}"
        )
    most = (size * size - 2) // 2
    if portals > most:
        raise UserError(f"maze.portals: {size}x{size} cells have room for {most} pairs beside start and goal, got {portals}")
    return MazeTask(
        kind,
        size,
        loops,
        portals,
        chosen.max_steps or max_steps or 100 * size * size,
        chosen.observation,
        chosen.new_maze_each_episode,
    )
