"""What a user may choose: `--pettingzoo.pad false`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PettingZooOptions(BaseModel):
    """Options of every environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pad: bool = Field(
        default=True,
        description="where agents differ: observation vectors are filled up with zeros, Discrete actions get an action_mask",
    )
    constructor: dict[str, Any] = Field(
        default_factory=dict, description="the environment's own keyword arguments, such as {N: 5, max_cycles: 50}"
    )
