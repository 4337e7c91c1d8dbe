"""What a user may choose: `--losses '[{"name": "cpca/cpca", "options": {"steps": 4}}]'`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CpcaOptions(BaseModel):
    """Options of `cpca/cpca`; the second name is that of Sample Factory 1.23."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coeff: float = Field(default=0.1, gt=0.0, description="the loss is multiplied by this")
    steps: int = Field(
        default=8, ge=1, description="how many steps ahead observations are predicted, at most (cpc_forward_steps)"
    )
    step_subsample: int = Field(
        default=2, ge=0, description="so many of these distances, drawn for each minibatch; 0: all (cpc_forward_subsample)"
    )
    time_subsample: int = Field(
        default=6, ge=0, description="so many rows of the rollout to predict from, drawn alike; 0: all (cpc_time_subsample)"
    )
    negatives: int = Field(
        default=20, ge=1, description="wrong observations for each right one, drawn from the whole minibatch"
    )
    hidden_size: int = Field(default=64, ge=1, description="units of the GRU that reads the coming actions")
    score_size: int = Field(default=32, ge=1, description="hidden units of the network that tells right from wrong")
