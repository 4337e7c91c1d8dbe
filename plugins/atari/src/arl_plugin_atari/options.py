"""What a run may set: `--atari.backend` and so on. Field descriptions are the help text."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Backend = Literal["ale-vector", "envpool", "gymnasium"]


class AtariOptions(BaseModel):
    """Options of every game; None means the variant's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend = Field(
        default="ale-vector",
        description="what steps the games: ale-vector, ALE's own vectorised environment; envpool (needs arl-plugin-envpool); "
        "gymnasium, one after the other in Python",
    )
    num_threads: int = Field(
        default=1, ge=1, description="threads that step one group; a rollout worker has worker_num_splits groups"
    )
    life_loss: bool = Field(default=False, description="the loss of a life ends an episode (of training, not the game)")
    reward_clip: bool = Field(default=True, description="rewards become -1, 0 or 1; env/score keeps the game's own")
    sticky_actions: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="probability that a frame repeats the action before; default: 0.25 in variants -v5, otherwise 0",
    )
    full_action_set: bool = Field(default=False, description="all 18 actions, not only those that the game uses")
    frame_skip: int = Field(default=4, ge=1, description="raw frames that an action lasts; the last two are pooled")
    frame_stack: int = Field(default=4, ge=1, description="frames in an observation, the newest last")
    image_size: int = Field(default=84, ge=16, le=160, description="pixels along each side of the grey image")
    noop_max: int = Field(default=30, ge=1, description="a game begins after fewer than so many raw frames without action")
    fire_reset: bool = Field(default=True, description="press fire at the beginning of a game and of a life")
    max_frames: int = Field(default=108_000, ge=1, description="raw frames after which a game is truncated; half an hour")
