"""What a user may choose about a maze: `--maze.observation grid`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MazeOptions(BaseModel):
    """Options of every maze; None means the variant's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observation: Literal["position", "grid", "pixels"] = Field(
        default="position",
        description="position: (x, y); grid: planes of open sides, goal, agent, portals; pixels: a small image",
    )
    new_maze_each_episode: bool = Field(
        default=False,
        description="draw a new maze for each episode (random mazes only): trains generalisation to unseen mazes",
    )
    size: int | None = Field(default=None, ge=2, le=250, description="cells along each side; default: the variant's")
    loops: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="further walls opened, per cell; default: 0.2 in plus mazes, otherwise 0",
    )
    portals: int | None = Field(
        default=None, ge=0, description="pairs of portals; default: a third of the size in plus mazes, otherwise 0"
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="steps after which an episode is truncated; default: gym-maze's, or 100 for each cell",
    )
