"""What a user may choose about MiniHack: `--minihack.observation pixel_crop`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Observation = Literal["glyphs", "crop", "pixel", "pixel_crop"]


class MiniHackOptions(BaseModel):
    """Options of every variant; None means the variant's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observation: Observation = Field(
        default="glyphs",
        description="glyphs: map, crop around the agent and status line (blstats); crop: the same without the map; "
        "pixel, pixel_crop: the map or the crop as an image",
    )
    crop_size: int = Field(default=9, ge=3, le=41, description="cells along each side of the crop; odd")
    tile_size: Literal[2, 4, 8, 16] | None = Field(
        default=None, description="pixels along each side of a cell in images; default: 16 in a crop, 4 in the map"
    )
    max_episode_steps: int | None = Field(default=None, ge=1, description="steps after which an episode is truncated")
    actions: Literal["own", "cardinal", "compass", "full"] = Field(
        default="own", description="own: the variant's; cardinal: 4 directions; compass: 8; full: every command"
    )
    reward_win: float | None = Field(default=None, description="reward for reaching the goal; minihack's default: 1")
    reward_lose: float | None = Field(default=None, description="reward for death or the time limit; minihack's default: 0")
    penalty_mode: Literal["constant", "exp", "square", "linear", "always"] | None = Field(
        default=None,
        description="when penalty_step applies: constant, in steps in which no game time passes; exp, square, linear: growing "
        "with the number of such steps; always",
    )
    penalty_step: float | None = Field(default=None, description="reward added as penalty_mode says; default: -0.01")
    penalty_time: float | None = Field(default=None, description="reward added for each turn of game time; default: 0")
    level_seeds: list[int] | None = Field(
        default=None, min_length=1, description="play only the levels of these seeds; default: a new one each episode"
    )
    des_file: str | None = Field(
        default=None, description="a level of your own, the path of a .des file (for Navigation-Custom and Skill-Custom)"
    )

    @field_validator("crop_size")
    @classmethod
    def _has_a_centre(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"must be odd, so that the agent is in the middle: {value - 1} or {value + 1}")
        return value

    @field_validator("des_file")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        """Absolute, for evaluation and resumption from another folder; what is no file is told when it is read."""
        path = Path(value or "").expanduser()
        return str(path.resolve()) if path.is_file() else value
