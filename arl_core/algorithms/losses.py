"""Terms of the loss: pure functions on [T, B] tensors, each a mean over valid entries.

Means take `weights` [T, B] from `valid_weights`: 1 / (number of valid entries) on those, 0 elsewhere. So a batch
without one valid entry has loss 0 and finite zero gradients. Terms must be finite everywhere, in invalid entries too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from arl_core.models.distributions import ActionDist

MAX_SYMMETRIC_KL = 30.0  # as in Sample Factory: a policy that is nearly deterministic is not torn back


def valid_weights(valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights [T, B] that turn a sum into the mean over valid entries."""
    weights = valid.to(dtype)
    return weights / weights.sum().clamp_(min=1.0)


def masked_mean(x: Tensor, weights: Tensor) -> Tensor:
    """The mean of x [T, B] over valid entries, a scalar."""
    return torch.dot(x.reshape(-1), weights.reshape(-1))


def masked_variance(x: Tensor, weights: Tensor) -> Tensor:
    """The biased variance of x [T, B] over valid entries, a scalar."""
    return masked_mean((x - masked_mean(x, weights)).square_(), weights)


@torch.no_grad()
def normalize(advantages: Tensor, weights: Tensor, eps: float = 1e-8) -> Tensor:
    """Advantages [T, B] of mean 0 and deviation 1 over valid entries; 0 in the others."""
    centred = advantages - masked_mean(advantages, weights)
    variance = masked_mean(centred.square(), weights)
    return (centred * (variance + eps).rsqrt_()).masked_fill_(weights == 0, 0.0)


def policy_loss(ratio: Tensor, advantages: Tensor, weights: Tensor, clip_ratio: float) -> Tensor:
    """-mean min(ratio A, clip(ratio) A): PPO's surrogate (Schulman et al. 2017, eq. 7).

    The ratio is clipped to [1/(1+c), 1+c], symmetric in its logarithm, as in Sample Factory. All [T, B].
    """
    clipped = ratio.clamp(1.0 / (1.0 + clip_ratio), 1.0 + clip_ratio)
    return masked_mean(torch.min(ratio * advantages, clipped * advantages), weights).neg()


def value_loss(values: Tensor, old_values: Tensor, targets: Tensor, weights: Tensor, clip_value: float) -> Tensor:
    """mean max((V - target)^2, (clip(V) - target)^2), with V clipped to the behaviour's +- clip_value. All [T, B]."""
    clipped = old_values + (values - old_values).clamp(-clip_value, clip_value)
    return masked_mean(torch.max((values - targets).square(), (clipped - targets).square()), weights)


def symmetric_kl_to_uniform(dist: ActionDist, params: Tensor, mask: Tensor | None, weights: Tensor) -> Tensor:
    """The mean of (KL(pi || u) + KL(u || pi)) / 2, u uniform over the allowed actions: a scalar, clamped to 30 (beyond which
    it has no gradient). `params` are [T, B, P]. Of independent parts (Dict, Tuple) the discrete ones' divergences add; a
    continuous one has no such u and adds -entropy, which is not clamped."""
    divergence, negative_entropy = torch.zeros_like(weights), torch.zeros_like(weights)
    for part, own, allowed in dist.components(params, mask):
        if part.action_dtype.is_floating_point:
            negative_entropy = negative_entropy - part.entropy(own)
        else:
            uniform = torch.zeros_like(own)  # all parameters equal
            divergence = divergence + 0.5 * (part.kl(own, uniform, allowed) + part.kl(uniform, own, allowed))
    return masked_mean(divergence, weights).clamp(max=MAX_SYMMETRIC_KL) + masked_mean(negative_entropy, weights)
