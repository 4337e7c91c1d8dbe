"""Options of the core's wrappers, checked where a run is resolved. Workers get them as plain values and never import this."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator


class NoOptions(BaseModel):
    """None."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class KeyOptions(NoOptions):
    """Which observations of a dictionary."""

    keys: list[str] | None = Field(None, min_length=1, description="observations to change; default: all that fit")


class ResizeOptions(KeyOptions):
    """New size."""

    height: int = Field(84, ge=1, description="pixels")
    width: int = Field(84, ge=1, description="pixels")


class FrameStackOptions(KeyOptions):
    """How many frames, joined where. `stack_size` is Gymnasium's name for `k`."""

    k: int = Field(4, ge=1, validation_alias=AliasChoices("k", "stack_size"), description="frames")
    axis: int | None = Field(None, description="axis to join them on; default: the first, for uint8 images [H, W, C] the last")


class FrameSkipOptions(NoOptions):
    """How often an action is repeated."""

    skip: int = Field(4, ge=1, description="steps of the environment for one of the run")
    max_last_two: bool = Field(False, description="observe the greater of the last two frames")

    @model_validator(mode="after")
    def _two_frames(self) -> FrameSkipOptions:
        if self.max_last_two and self.skip < 2:
            raise ValueError("max_last_two needs a skip of 2 or more")
        return self


class TimeLimitOptions(NoOptions):
    """When an episode is truncated."""

    max_episode_steps: int = Field(ge=1, description="steps")


class RewardScaleOptions(NoOptions):
    """A factor."""

    scale: float = Field(description="rewards are multiplied by this")


class RewardClipOptions(NoOptions):
    """Bounds."""

    low: float = Field(-1.0, description="least reward")
    high: float = Field(1.0, description="greatest reward")
    sign: bool = Field(False, description="the sign alone: -1, 0 or 1, whatever the bounds")

    @model_validator(mode="after")
    def _in_order(self) -> RewardClipOptions:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be less than high ({self.high:g})")
        return self


class MaskFromInfoOptions(NoOptions):
    """Where the mask is."""

    key: str = Field("action_mask", min_length=1, description="the mask's name in info")
