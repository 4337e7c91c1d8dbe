"""What a user may choose about MiniGrid: `--minigrid.observation pixels`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Observation = Literal["view", "full", "pixels"]
Mission = Literal["auto", "none", "words", "tokens"]


class MiniGridOptions(BaseModel):
    """Options of every variant; None means the variant's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observation: Observation = Field(
        default="view",
        description="view: object, colour and state of each cell in front of the agent; full: of the whole grid; "
        "pixels: what the agent sees as an image",
    )
    mission: Mission = Field(
        default="auto",
        description="the task's text: none: left out; words: which words are in it; tokens: the words in their order; "
        "auto: words where the task is in the text (BabyAI, Fetch, GoToDoor, GoToObject, PutNear)",
    )
    view_size: int = Field(default=7, ge=3, le=15, description="cells along each side of what the agent sees; odd")
    tile_size: Literal[4, 8, 16, 32] = Field(default=8, description="pixels along each side of a cell, with pixels")
    max_steps: int | None = Field(
        default=None, ge=1, description="steps after which an episode is truncated; the reward falls with steps / max_steps"
    )

    @field_validator("view_size")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"must be odd, so that the agent is in the middle: {value - 1} or {value + 1}")
        return value
