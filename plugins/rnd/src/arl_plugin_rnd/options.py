"""What a user may choose: `--losses '[{"name": "rnd/rnd", "options": {"coeff": 0.5}}]'`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RndOptions(BaseModel):
    """Options of `rnd/rnd`. That of the environment's own rewards is the run's `reward_scale`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coeff: float = Field(default=1.0, gt=0.0, description="the normalised error times this is the intrinsic reward")
    gamma: float = Field(
        default=0.99, ge=0.0, lt=1.0, description="discount of the intrinsic return by whose deviation errors are divided"
    )
    update_proportion: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="share of a minibatch's frames, drawn anew each time, that train the predictor",
    )
    feature_size: int = Field(default=64, ge=1, description="outputs of the random network that the predictor is to match")
    hidden_size: int = Field(default=64, ge=1, description="width of both networks' hidden layers")
    predictor_layers: int = Field(
        default=1, ge=0, description="hidden layers that the predictor has more than the random network"
    )
