"""Value targets and advantages: pure functions on time-major [T, B] tensors.

Row t goes from x_t to x_{t+1}. `terminated[t]`: nothing follows, the bootstrap is 0. `truncated[t]` alone: the
bootstrap is the value of the true final observation x_{t+1} (Pardo et al. 2018). Traces are cut at both and at rows not
valid (resets); those have advantage 0 and their own value as target, whatever the other inputs hold there. Both estimators
give (advantages, returns), where the returns are what the critic is trained towards.
"""

from __future__ import annotations

import torch
from torch import Tensor

# exp(20) is past every clipping threshold in use and far from float32's overflow, whose gradient would be NaN.
MAX_LOG_RATIO = 20.0


def importance_log_ratio(target_log_probs: Tensor, behaviour_log_probs: Tensor, valid: Tensor) -> Tensor:
    """log(pi / mu) [T, B], 0 where not valid, within +-20."""
    return torch.where(valid, target_log_probs - behaviour_log_probs, 0.0).clamp_(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def discounted_suffix_sums(terms: Tensor, weights: Tensor) -> Tensor:
    """y[t] = terms[t] + weights[t] * y[t+1], with y[T] = 0, for [T, B] tensors.

    By doubling (Hillis & Steele 1986): after the pass of stride s, y[t] covers 2s terms; log2(T) operations, not T.
    """
    horizon, stride = terms.shape[0], 1
    while stride < horizon:
        rest = horizon - stride
        wider = terms.clone()
        wider[:rest].addcmul_(weights[:rest], terms[stride:])
        weights = weights[: rest - stride] * weights[stride:rest] if rest > stride else weights
        terms, stride = wider, 2 * stride
    return terms


@torch.no_grad()
def vtrace(
    target_log_probs: Tensor,
    behaviour_log_probs: Tensor,
    rewards: Tensor,
    values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    valid: Tensor,
    gamma: float,
    rho_clip: float,
    c_clip: float,
) -> tuple[Tensor, Tensor]:
    """V-trace's policy-gradient advantages and returns vs, both [T, B] (Espeholt et al. 2018, section 4.2 and eq. 1).

    `values` [T+1, B] are the learner's own; the rest is [T, B]. advantage_t = rho_t (r_t + gamma vs_{t+1} - V(x_t)),
    where vs_{t+1} is V(x_{t+1}) if the trace is cut after t.
    """
    ratio = importance_log_ratio(target_log_probs, behaviour_log_probs, valid).exp_()
    rho = ratio.clamp(max=rho_clip)
    error, discount = _errors(rewards, values, terminated, truncated, valid, gamma)
    correction = discounted_suffix_sums(rho * error, ratio.clamp_(max=c_clip).mul_(discount))  # vs - V
    error[:-1].addcmul_(discount[:-1], correction[1:])
    return rho.mul_(error), values[:-1] + correction


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    valid: Tensor,
    gamma: float,
    lam: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantages and returns, both [T, B] (Schulman et al. 2015, eq. 16). `values` is [T+1, B]."""
    error, discount = _errors(rewards, values, terminated, truncated, valid, gamma)
    advantages = discounted_suffix_sums(error, discount.mul_(lam))
    return advantages, advantages + values[:-1]


def _errors(
    rewards: Tensor, values: Tensor, terminated: Tensor, truncated: Tensor, valid: Tensor, gamma: float
) -> tuple[Tensor, Tensor]:
    """Errors r + gamma V(x_{t+1}) - V(x_t), 0 where not valid, and the discount of the trace, 0 where it is cut."""
    now, after = values[:-1], values[1:]
    bootstrap = torch.where(terminated, 0.0, after)
    error = torch.where(valid, torch.add(rewards, bootstrap, alpha=gamma).sub_(now), 0.0)
    continues = valid & ~(terminated | truncated)
    return error, continues.to(values.dtype).mul_(gamma)
