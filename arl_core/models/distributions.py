"""Distributions over discrete actions, and the choice of a distribution for an action space (conventions: `action_dist`)."""

# ruff: noqa: D102, ARG002  # `ActionDist` documents what its subclasses override; some of them have no use for a mask

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from arl_core.config import RunConfig
from arl_core.models.action_dist import ActionDist as ActionDist  # the rooms above find it here
from arl_core.models.composite import Composite
from arl_core.models.gaussian import Gaussian, SquashedGaussian
from arl_core.spaces import action_parts, children_of

# Finite, so that 0 * log(0) is 0 and a fully masked row is uniform; large, so that exp of it is exactly 0 in float32.
MASKED_LOGIT = -1e9


def _log_exponential_(noise: Tensor, generator: torch.Generator | None) -> Tensor:
    """Fill `noise` with logarithms of exponentially distributed numbers: log E = log(-log U), in half the time of
    `exponential_().log_()`. U is a multiple of 2^-24, so E is never below 6e-8; at U = 0 it would be infinite, and the only
    action that a mask allows would lose: it is bounded by e^3, which lies above all others (U = 2^-24 gives e^2.8)."""
    return noise.uniform_(generator=generator).log_().neg_().log_().clamp_(max=3.0)


class Categorical(ActionDist):
    """`Discrete(n)`: `params` are logits [..., n], actions one column of 0-based indices."""

    def __init__(self, num_actions: int) -> None:
        self.action_size = 1
        self.action_dtype = torch.int64
        self.params_size = self.num_actions_for_mask = self.noise_size = num_actions

    @staticmethod
    def _log_probs(logits: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            logits = logits.masked_fill(mask == 0, MASKED_LOGIT)
        return torch.log_softmax(logits, -1)

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return _log_exponential_(noise, generator)

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        """Exponential race: argmax of p_i / E_i with E_i ~ Exp(1) picks i with probability p_i; `noise` is log E."""
        return self._scores(params, mask, noise).argmax(-1, keepdim=True)

    def choose_into(self, out: Tensor, params: Tensor, mask: Tensor | None, noise: Tensor) -> None:
        torch.argmax(self._scores(params, mask, noise), -1, keepdim=True, out=out)

    def choose_numpy_into(
        self, out: NDArray[Any], params: NDArray[np.float32], mask: NDArray[Any] | None, noise: NDArray[np.float32]
    ) -> None:
        if mask is not None:
            super().choose_numpy_into(out, params, mask, noise)
            return
        (params - noise).argmax(-1, out=out[:, 0])

    def _scores(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        return torch.sub(params if mask is None else self._log_probs(params, mask), noise)  # normalised only where needed

    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._log_probs(params, mask).argmax(-1, keepdim=True)

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._log_probs(params, mask).gather(-1, actions).squeeze(-1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_probs = self._log_probs(params, mask)
        return log_probs.gather(-1, actions).squeeze(-1), -(log_probs.exp() * log_probs).sum(-1)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        log_probs = self._log_probs(params, mask)
        return -(log_probs.exp() * log_probs).sum(-1)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        log_p = self._log_probs(params_p, mask)
        return (log_p.exp() * (log_p - self._log_probs(params_q, mask))).sum(-1)


class MultiCategorical(Composite):
    """`MultiDiscrete(nvec)`: independent categoricals; logits and masks of the components are concatenated."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__([Categorical(size) for size in sizes])

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return _log_exponential_(noise, generator)  # as its parts would, all at once


class Bernoulli(ActionDist):
    """`MultiBinary(n)`: independent bits, `params` are the logits of 1. There are no masks."""

    def __init__(self, num_bits: int) -> None:
        self.action_size = self.params_size = self.noise_size = num_bits
        self.action_dtype = torch.int64

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return noise.uniform_(generator=generator)

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        return (noise < torch.sigmoid(params)).to(torch.int64)

    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        return (params > 0).to(torch.int64)

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        return (params * actions - F.softplus(params)).sum(-1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_normaliser = F.softplus(params)
        log_prob = (params * actions - log_normaliser).sum(-1)
        return log_prob, (log_normaliser - params * torch.sigmoid(params)).sum(-1)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        return (F.softplus(params) - params * torch.sigmoid(params)).sum(-1)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        difference = torch.sigmoid(params_p) * (params_p - params_q)
        return (difference - F.softplus(params_p) + F.softplus(params_q)).sum(-1)


def make_action_dist(space: spaces.Space[Any], cfg: RunConfig | None = None) -> ActionDist:
    """The distribution for an action space. Raises UserError for one that is not supported, or not as `cfg` wants it."""
    cfg = cfg or RunConfig.model_validate({})
    parts = [_leaf_dist(name, leaf, cfg) for name, leaf in action_parts(space)]
    return parts[0] if children_of(space) is None else Composite(parts)


def _leaf_dist(name: str, leaf: spaces.Space[Any], cfg: RunConfig) -> ActionDist:
    if isinstance(leaf, spaces.Discrete):
        return Categorical(int(leaf.n))
    if isinstance(leaf, spaces.MultiDiscrete):
        return MultiCategorical([int(size) for size in np.ravel(leaf.nvec)])
    if isinstance(leaf, spaces.MultiBinary):
        return Bernoulli(math.prod(leaf.shape))
    assert isinstance(leaf, spaces.Box)
    if cfg.tanh_squash:
        return SquashedGaussian(name, leaf, cfg)
    return Gaussian(math.prod(leaf.shape), cfg)
