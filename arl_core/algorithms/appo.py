"""APPO (Petrenko et al. 2020): PPO's clipped surrogate on asynchronous trajectories, V-trace or GAE targets."""

from __future__ import annotations

from torch import Tensor

from arl_core.algorithms.base import LossInputs, PolicyGradient
from arl_core.algorithms.losses import masked_mean, policy_loss, value_loss
from arl_core.config import RunConfig


class Appo(PolicyGradient):
    """Policy ratio and value are clipped, so one batch can be trained on several times."""

    def policy_term(self, inputs: LossInputs, cfg: RunConfig) -> Tensor:
        """-mean min(ratio A, clip(ratio) A), see `policy_loss`."""
        return policy_loss(inputs.log_ratio.exp(), inputs.advantages, inputs.weights, cfg.ppo_clip_ratio)

    def value_term(self, inputs: LossInputs, cfg: RunConfig) -> Tensor:
        """mean max((V - target)^2, (clip(V) - target)^2), see `value_loss`."""
        return value_loss(inputs.values, inputs.batch.values, inputs.targets.returns, inputs.weights, cfg.ppo_clip_value)

    def extra_metrics(self, inputs: LossInputs, cfg: RunConfig) -> dict[str, Tensor]:
        """How much of the batch the clipping holds back."""
        ratio, clip = inputs.log_ratio.exp(), 1.0 + cfg.ppo_clip_ratio
        clipped = (ratio > clip) | (ratio < 1.0 / clip)
        return {"clip_fraction": masked_mean(clipped.to(inputs.weights.dtype), inputs.weights)}
