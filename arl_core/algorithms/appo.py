"""APPO (Petrenko et al. 2020): PPO's clipped surrogate on asynchronous trajectories, V-trace or GAE targets.

No function here reads a tensor's value in Python, so a GPU never waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.losses import masked_mean, masked_variance, normalize, policy_loss, valid_weights, value_loss
from arl_core.algorithms.targets import gae, importance_log_ratio, vtrace
from arl_core.config import RunConfig
from arl_core.models.actor_critic import ActorCritic


@dataclass(slots=True)
class Targets:
    """Fixed targets of a batch, [T, B] float32."""

    advantages: Tensor
    returns: Tensor

    def columns(self, index: Tensor | slice) -> Targets:
        """The environments that `index` selects, as `TrainingBatch.columns`."""
        return Targets(self.advantages[:, index], self.returns[:, index])


def shape_rewards(rewards: Tensor, cfg: RunConfig) -> Tensor:
    """Rewards as training sees them: scaled, then clipped to +- reward_clip."""
    return (rewards * cfg.reward_scale).clamp_(-cfg.reward_clip, cfg.reward_clip)


@torch.no_grad()
def prepare(model: ActorCritic, batch: TrainingBatch, cfg: RunConfig) -> Targets | None:
    """Targets that stay fixed over the epochs of a batch: GAE with the model's values; None for V-trace."""
    if cfg.with_vtrace:
        return None
    _, values = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
    rewards = shape_rewards(batch.rewards, cfg)
    return Targets(*gae(rewards, values, batch.terminated, batch.truncated, batch.valid, cfg.gamma, cfg.gae_lambda))


def loss(
    model: ActorCritic, batch: TrainingBatch, targets: Targets | None, cfg: RunConfig, with_metrics: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """The scalar loss of a (mini)batch and, if asked for, its metrics (detached scalars, on the model's device).

    Without `targets` V-trace is computed from the very forward pass that the loss uses. A batch without one valid entry
    has loss 0 and zero gradients.
    """
    horizon = batch.valid.shape[0]
    params, values = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
    params, now = params[:horizon], values[:horizon]
    mask = batch.action_mask
    log_probs, entropies = model.dist.log_prob_entropy(params, batch.actions, mask)
    log_ratio = importance_log_ratio(log_probs, batch.log_probs, batch.valid)
    if targets is None:
        targets = _vtrace_targets(log_probs.detach(), values.detach(), batch, cfg)
    weights = valid_weights(batch.valid)
    advantages = normalize(targets.advantages, weights) if cfg.normalize_advantages else targets.advantages
    ratio = log_ratio.exp()
    for_policy = policy_loss(ratio, advantages, weights, cfg.ppo_clip_ratio)
    for_value = value_loss(now, batch.values, targets.returns, weights, cfg.ppo_clip_value)
    entropy = masked_mean(entropies, weights)
    total = for_policy + cfg.value_loss_coeff * for_value - cfg.exploration_loss_coeff * entropy
    kl: Tensor | None = None
    if cfg.kl_loss_coeff:
        kl = masked_mean(model.dist.kl(batch.params, params, mask), weights)
        total = total + cfg.kl_loss_coeff * kl
    if not with_metrics:
        return total, {}
    with torch.no_grad():
        if kl is None:
            kl = masked_mean(model.dist.kl(batch.params, params, mask), weights)
        metrics = {"policy_loss": for_policy, "value_loss": for_value, "entropy": entropy, "kl": kl}
        metrics |= _diagnostics(ratio, now, targets, weights, cfg)
    return total, {name: value.detach() for name, value in metrics.items()}


def _vtrace_targets(log_probs: Tensor, values: Tensor, batch: TrainingBatch, cfg: RunConfig) -> Targets:
    returns, advantages = vtrace(
        log_probs,
        batch.log_probs,
        shape_rewards(batch.rewards, cfg),
        values,
        batch.terminated,
        batch.truncated,
        batch.valid,
        cfg.gamma,
        cfg.vtrace_rho,
        cfg.vtrace_c,
    )
    return Targets(advantages, returns)


def _diagnostics(ratio: Tensor, values: Tensor, targets: Targets, weights: Tensor, cfg: RunConfig) -> dict[str, Tensor]:
    clip = 1.0 + cfg.ppo_clip_ratio
    clipped = (ratio > clip) | (ratio < 1.0 / clip)
    unexplained = masked_variance(targets.returns - values, weights)
    variance = masked_variance(targets.returns, weights)
    return {
        "clip_fraction": masked_mean(clipped.to(weights.dtype), weights),
        "explained_variance": 1.0 - unexplained / variance.clamp(min=1e-8),
        "value_mean": masked_mean(values, weights),
        "adv_std": masked_variance(targets.advantages, weights).sqrt(),
        "ratio_mean": masked_mean(ratio, weights),
    }
