"""Distributions over Box actions: independent normals, and normals squashed by tanh (conventions: `action_dist`)."""

# ruff: noqa: D102, ARG002  # `ActionDist` documents what its subclasses override; there are no masks

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
from arl_core.interfaces import UserError
from arl_core.models.action_dist import ActionDist

LOG_2PI = math.log(2.0 * math.pi)
LOG_2 = math.log(2.0)
MAX_LOG_STDDEV = math.log(1e4)  # as Sample Factory: exp does not overflow
QUADRATURE_NODES = 16


class Gaussian(ActionDist):
    """`Box`: independent normals, `params` are means and log standard deviations, which are clamped to
    [`min_stddev`, 10,000]. With `adaptive_stddev` the network computes both, otherwise deviations are free parameters.

    Log-probabilities are those of the unclipped action; the environment side clips to the bounds. There are no masks.
    """

    def __init__(self, num_dims: int, cfg: RunConfig) -> None:
        self.action_size = self.noise_size = num_dims
        self.free_size = 0 if cfg.adaptive_stddev else num_dims
        self.action_dtype = torch.float32
        self.params_size = 2 * num_dims
        self._initial_log_std = math.log(cfg.initial_stddev)
        self._min_log_std = math.log(cfg.min_stddev)
        if self.free_size:
            self.free_limits = (self._min_log_std, MAX_LOG_STDDEV)

    def initial_params(self) -> Tensor:
        return torch.cat((torch.zeros(self.action_size), torch.full((self.action_size,), self._initial_log_std)))

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        log_std = params[..., self.action_size :].clamp(self._min_log_std, MAX_LOG_STDDEV)
        return params[..., : self.action_size], log_std

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return noise.normal_(generator=generator)

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        mean, log_std = self._split(params)
        return torch.addcmul(mean, noise, log_std.exp())

    def choose_numpy_into(
        self, out: NDArray[Any], params: NDArray[np.float32], mask: NDArray[Any] | None, noise: NDArray[np.float32]
    ) -> None:
        log_std = params[:, self.action_size :]
        if not self.free_size:
            log_std = np.clip(log_std, self._min_log_std, MAX_LOG_STDDEV)
        np.exp(log_std, out=out)
        out *= noise
        out += params[:, : self.action_size]

    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._split(params)[0]

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        mean, log_std = self._split(params)
        scaled = (actions - mean) * torch.exp(-log_std)
        return ((scaled.square() + LOG_2PI) * -0.5 - log_std).sum(-1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.log_prob(params, actions), self.entropy(params)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._split(params)[1].sum(-1) + 0.5 * self.action_size * (1.0 + LOG_2PI)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        mean_p, log_std_p = self._split(params_p)
        mean_q, log_std_q = self._split(params_q)
        log_ratio = log_std_p - log_std_q
        shift = (mean_p - mean_q) * torch.exp(-log_std_q)
        return (0.5 * (torch.exp(2.0 * log_ratio) + shift.square() - 1.0) - log_ratio).sum(-1)


def log_tanh_slope(x: Tensor) -> Tensor:
    """log(1 - tanh(x)^2), exact where tanh is 1 to the last bit."""
    return 2.0 * (LOG_2 - x - F.softplus(-2.0 * x))


class SquashedGaussian(Gaussian):
    """`Box` with finite bounds: tanh of independent normals, scaled to the bounds (Haarnoja et al. 2018, appendix C).

    Actions are those before the tanh, which makes log-probabilities exact; the environment side squashes and scales
    (`squashed`). Log-probabilities and entropies are of the action in [-1, 1]; the bounds would add a constant. Entropies
    are computed by Gauss-Hermite quadrature, without noise. KL is that of the normals: tanh is one to one.

    Raises UserError, naming the action, for bounds that are not finite.
    """

    def __init__(self, name: str, space: spaces.Box, cfg: RunConfig) -> None:
        super().__init__(math.prod(space.shape), cfg)
        low, high = np.ravel(space.low).astype(np.float32), np.ravel(space.high).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            is_bounded = np.isfinite(high - low).all()
        if not is_bounded:
            raise UserError(
                f"tanh_squash needs finite bounds; {name if name == 'action' else repr(name)} is {space}. "
                "Turn tanh_squash off, or give the action space bounds"
            )
        self.squashed = tuple((column, float(low[column]), float(high[column])) for column in range(len(low)))
        nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
        self._nodes = [(float(x), float(w) / math.sqrt(2.0 * math.pi)) for x, w in zip(nodes, weights, strict=True)]

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().log_prob(params, actions) - log_tanh_slope(actions).sum(-1)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        mean, log_std = self._split(params)
        std = log_std.exp()
        slopes = [weight * log_tanh_slope(mean + node * std) for node, weight in self._nodes]
        return super().entropy(params) + torch.stack(slopes).sum(0).sum(-1)
