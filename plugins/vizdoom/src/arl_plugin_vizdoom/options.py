"""What a user may choose about ViZDoom: `--vizdoom.frame-skip 4`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class VizDoomOptions(BaseModel):
    """Options of every variant; None means the scenario's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_skip: int = Field(default=4, ge=1, description="game tics of each step (35 are a second); counts are of steps")
    resolution: Literal["160x120", "320x240", "640x480"] = Field(
        default="160x120", description="what the game renders, before it is resized"
    )
    grayscale: bool = Field(default=False, description="one channel instead of red, green, blue")
    game_variables: bool = Field(
        default=False, description="observe the scenario's game variables (ammunition, health, ...) beside the screen"
    )
    actions: Literal["single", "combined"] = Field(
        default="single", description="single: no button or one; combined: any buttons at once (MultiBinary)"
    )
    hud: bool = Field(default=False, description="render the status bar")
    skill: int | None = Field(default=None, ge=1, le=5, description="difficulty, 5 is the hardest; default: the scenario's")
    episode_timeout: int | None = Field(default=None, ge=1, description="game tics after which an episode is truncated")
    config: str | None = Field(
        default=None, description="a scenario of your own, the path of a .cfg file (for the variant custom)"
    )

    @field_validator("config")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        """Absolute, for evaluation and resumption from another folder; what is no file is told when it is read."""
        path = Path(value or "").expanduser()
        return str(path.resolve()) if path.is_file() else value
