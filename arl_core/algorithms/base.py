"""What an algorithm is: targets and a loss on time-major batches. Plugins derive theirs from `PolicyGradient`.

Nothing here or in an algorithm reads a tensor's value in Python, so a GPU never waits.
"""

# ruff: noqa: ARG002  # a subclass may use what the base has no use for

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.losses import masked_mean, masked_variance, normalize, symmetric_kl_to_uniform, valid_weights
from arl_core.algorithms.targets import gae, importance_log_ratio, vtrace
from arl_core.config import RunConfig
from arl_core.models.distributions import ActionDist
from arl_core.models.policy import PolicyNetwork


@dataclass(slots=True)
class Targets:
    """Fixed targets of a batch, [T, B] float32."""

    advantages: Tensor
    returns: Tensor

    def columns(self, index: Tensor | slice) -> Targets:
        """The environments that `index` selects, as `TrainingBatch.columns`."""
        return Targets(self.advantages[:, index], self.returns[:, index])

    def transitions(self) -> Targets:
        """[1, T * B], as `TrainingBatch.transitions`."""
        return Targets(self.advantages.reshape(1, -1), self.returns.reshape(1, -1))


class Algorithm(Protocol):
    """Targets and loss of one policy. Pure: what it keeps between calls is not saved."""

    def prepare(self, model: PolicyNetwork, batch: TrainingBatch, cfg: RunConfig) -> Targets | None:
        """Targets that stay fixed over the epochs of a batch; None where each step computes its own."""

    def loss(
        self, model: PolicyNetwork, batch: TrainingBatch, targets: Targets | None, cfg: RunConfig, with_metrics: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar loss of a (mini)batch and, if asked for, its metrics: detached scalars on the model's device.

        A batch without one valid entry has loss 0 and zero gradients.
        """


@dataclass(slots=True)
class LossInputs:
    """One (mini)batch as the terms of a loss see it; [T, B] float32 where nothing else is said."""

    batch: TrainingBatch
    dist: ActionDist
    params: Tensor  # [T, B, P], of the present policy
    entropies: Tensor  # of the present policy
    log_probs: Tensor  # of the actions taken, under the present policy
    log_ratio: Tensor  # to the behaviour policy, 0 where not valid, within +-20
    values: Tensor  # of the present critic
    targets: Targets
    advantages: Tensor  # of the targets; normalised with `normalize_advantages`
    weights: Tensor  # that turn a sum into the mean over valid entries


class PolicyGradient:
    """An actor-critic loss, term by term (an `Algorithm`). A subclass overrides the terms that are its own.

    Each term is a scalar, a mean over the valid entries of [T, B]:

    loss = policy_term + value_loss_coeff value_term + exploration_loss_coeff exploration_term + kl_loss_coeff KL(mu || pi)

    With `normalize_returns` the model's values, and the targets that `value_term` sees, are normalised returns; advantages
    are of returns as they are.
    """

    def prepare(self, model: PolicyNetwork, batch: TrainingBatch, cfg: RunConfig) -> Targets | None:
        """Without V-trace: GAE with the model's values before the first of several optimiser steps."""
        if cfg.with_vtrace or (cfg.ppo_epochs == 1 and cfg.batch_size >= batch.valid.numel()):
            return None
        with torch.no_grad():
            _, values = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
            return gae_targets(model.denormalize_values(values), batch, cfg)

    def targets_of_step(self, log_probs: Tensor, values: Tensor, batch: TrainingBatch, cfg: RunConfig) -> Targets:
        """Where `prepare` gave none: V-trace, or GAE for the one step of a batch, from the very forward pass that the loss
        uses. `values` [T+1, B]."""
        return vtrace_targets(log_probs, values, batch, cfg) if cfg.with_vtrace else gae_targets(values, batch, cfg)

    def policy_term(self, inputs: LossInputs, cfg: RunConfig) -> Tensor:
        """-mean log pi(a) A: the policy gradient (Williams 1992; Mnih et al. 2016, section 4)."""
        return masked_mean(inputs.log_probs * inputs.advantages, inputs.weights).neg()

    def value_term(self, inputs: LossInputs, cfg: RunConfig) -> Tensor:
        """mean (V - target)^2."""
        return masked_mean((inputs.values - inputs.targets.returns).square(), inputs.weights)

    def exploration_term(self, inputs: LossInputs, cfg: RunConfig) -> Tensor:
        """-entropy, or the symmetric KL divergence to the uniform distribution. For continuous actions, and continuous parts
        of an action, there is no such distribution: -entropy in any case."""
        if cfg.exploration_loss == "entropy":
            return masked_mean(inputs.entropies, inputs.weights).neg()
        return symmetric_kl_to_uniform(inputs.dist, inputs.params, inputs.batch.action_mask, inputs.weights)

    def extra_metrics(self, inputs: LossInputs, cfg: RunConfig) -> dict[str, Tensor]:
        """Further diagnostics, scalars; computed without gradients, only when they are asked for."""
        return {}

    def loss(
        self, model: PolicyNetwork, batch: TrainingBatch, targets: Targets | None, cfg: RunConfig, with_metrics: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Algorithm`."""
        horizon = batch.valid.shape[0]
        params, values = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
        params, now = params[:horizon], values[:horizon]
        mask = batch.action_mask
        log_probs, entropies = model.dist.log_prob_entropy(params, batch.actions, mask)
        log_ratio = importance_log_ratio(log_probs, batch.log_probs, batch.valid)
        if targets is None:
            targets = self.targets_of_step(log_probs.detach(), model.denormalize_values(values.detach()), batch, cfg)
        if model.returns_norm is not None:
            batch.returns = targets.returns
            targets = Targets(targets.advantages, model.returns_norm.forward(targets.returns))
        weights = valid_weights(batch.valid)
        advantages = normalize(targets.advantages, weights) if cfg.normalize_advantages else targets.advantages
        inputs = LossInputs(batch, model.dist, params, entropies, log_probs, log_ratio, now, targets, advantages, weights)
        for_policy, for_value = self.policy_term(inputs, cfg), self.value_term(inputs, cfg)
        exploration = self.exploration_term(inputs, cfg)
        total = for_policy + cfg.value_loss_coeff * for_value + cfg.exploration_loss_coeff * exploration
        kl: Tensor | None = None
        if cfg.kl_loss_coeff:
            kl = masked_mean(model.dist.kl(batch.params, params, mask), weights)
            total = total + cfg.kl_loss_coeff * kl
        if not with_metrics:
            return total, {}
        with torch.no_grad():
            if kl is None:
                kl = masked_mean(model.dist.kl(batch.params, params, mask), weights)
            metrics = {"policy_loss": for_policy, "value_loss": for_value, "exploration_loss": exploration, "kl": kl}
            metrics["entropy"] = masked_mean(entropies, weights)
            metrics |= _diagnostics(inputs) | self.extra_metrics(inputs, cfg)
        return total, {name: value.detach() for name, value in metrics.items()}


class AuxiliaryLoss(nn.Module):
    """A further loss, an intrinsic reward, or both (`arl_losses`), with parameters of its own.

    Its parameters live in the learner alone and are trained by the run's optimiser with its learning rate; the gradient of
    `loss` also reaches the policy network where it uses it. What encoder and core compute is in `model.latents`, once the
    constructor has called `model.keep_latents()`. Buffers, and a tensor that `get_extra_state` returns, are saved too.
    """

    def bonus(self, batch: TrainingBatch) -> Tensor | None:
        """An intrinsic reward [T, B] for the transitions of a batch, added to the scaled rewards; without gradients.

        Called once a batch, before its first optimiser step: running statistics move here.
        """
        return None

    def loss(self, model: PolicyNetwork, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]] | None:
        """A scalar loss of a (mini)batch, added to the algorithm's, and metrics (detached scalars); None: there is none."""
        return None


def gae_targets(values: Tensor, batch: TrainingBatch, cfg: RunConfig) -> Targets:
    """Generalised advantage estimates with values [T+1, B]."""
    flags = batch.terminated, batch.truncated, batch.valid
    return Targets(*gae(shape_rewards(batch, cfg), values, *flags, cfg.gamma, cfg.gae_lambda))


def vtrace_targets(log_probs: Tensor, values: Tensor, batch: TrainingBatch, cfg: RunConfig) -> Targets:
    """V-trace of the present policy's log_probs [T, B] and values [T+1, B]."""
    flags = batch.terminated, batch.truncated, batch.valid
    rewards = shape_rewards(batch, cfg)
    return Targets(*vtrace(log_probs, batch.log_probs, rewards, values, *flags, cfg.gamma, cfg.vtrace_rho, cfg.vtrace_c))


def shape_rewards(batch: TrainingBatch, cfg: RunConfig) -> Tensor:
    """Rewards [T, B] as training sees them: scaled, clipped to +- reward_clip, and intrinsic ones added."""
    rewards = (batch.rewards * cfg.reward_scale).clamp_(-cfg.reward_clip, cfg.reward_clip)
    return rewards if batch.bonus is None else rewards.add_(batch.bonus)


def _diagnostics(inputs: LossInputs) -> dict[str, Tensor]:
    returns, weights = inputs.targets.returns, inputs.weights
    unexplained = masked_variance(returns - inputs.values, weights)
    variance = masked_variance(returns, weights)
    return {
        "explained_variance": 1.0 - unexplained / variance.clamp(min=1e-8),
        "value_mean": masked_mean(inputs.values, weights),
        "adv_std": masked_variance(inputs.targets.advantages, weights).sqrt(),
        "ratio_mean": masked_mean(inputs.log_ratio.exp(), weights),
    }
