"""Action distributions: stateless, one object an action space, the same for acting and learning.

Shapes: `params` [..., P], `actions` [..., A], `mask` [..., M] with 0 where an action is impossible, or None. Leading
axes are arbitrary, results have them. A mask that is zero everywhere on a row (or, for MultiDiscrete, on one component)
means "any action": the distribution there is uniform. No result and no gradient is ever NaN because of a mask.
"""

# ruff: noqa: D102, ARG002  # `ActionDist` documents what its subclasses override; some of them have no use for a mask

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from arl_core.interfaces import UserError

# Finite, so that 0 * log(0) is 0 and a fully masked row is uniform; large, so that exp of it is exactly 0 in float32.
MASKED_LOGIT = -1e9
LOG_2PI = math.log(2.0 * math.pi)


class ActionDist(ABC):
    """A family of distributions over one action space.

    `head_size` of the `params_size` parameters come from the network, the last `free_size` are learned parameters that
    do not depend on the observation.
    """

    action_size: int
    action_dtype: torch.dtype
    params_size: int
    num_actions_for_mask: int = 0
    free_size: int = 0
    noise_size: int

    @property
    def head_size(self) -> int:
        """How many parameters the network computes for each observation."""
        return self.params_size - self.free_size

    @abstractmethod
    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Fill `noise` [..., noise_size] with what `choose` needs. All randomness of acting is here, so it can be drawn for
        many steps at once. `generator` lives on the device of `noise`."""

    @abstractmethod
    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        """Actions [..., A], drawn from the distribution: a function of the parameters and the noise."""

    def choose_into(self, out: Tensor, params: Tensor, mask: Tensor | None, noise: Tensor) -> None:
        """`choose`, written to `out` [..., A]."""
        out.copy_(self.choose(params, mask, noise))

    def choose_numpy_into(
        self, out: NDArray[Any], params: NDArray[np.float32], mask: NDArray[Any] | None, noise: NDArray[np.float32]
    ) -> None:
        """`choose_into` for arrays; a subclass may do it without torch."""
        with torch.inference_mode():
            masks = None if mask is None else torch.from_numpy(mask)
            self.choose_into(torch.from_numpy(out), torch.from_numpy(params), masks, torch.from_numpy(noise))

    def sample(
        self, params: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw actions [..., A] and their log-probabilities [...]. `generator` lives on the device of `params`."""
        noise = self.draw_noise(params.new_empty(*params.shape[:-1], self.noise_size), generator)
        actions = self.choose(params, mask, noise)
        return actions, self.log_prob(params, actions, mask)

    @abstractmethod
    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        """The most probable actions [..., A]."""

    @abstractmethod
    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log-probabilities of `actions` and entropies, both [...]."""

    @abstractmethod
    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        """KL(p || q) [...], in nats."""

    def log_prob(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probabilities [...] (densities, for continuous actions)."""
        return self.log_prob_entropy(params, actions, mask)[0]

    @abstractmethod
    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        """Entropies [...], in nats."""


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
        return noise.exponential_(generator=generator).log_()

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
        np.argmax(params - noise, -1, out=out[:, 0])

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


class MultiCategorical(ActionDist):
    """`MultiDiscrete(nvec)`: independent categoricals; logits and masks of the components are concatenated."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._parts = [Categorical(size) for size in sizes]
        self.action_size = len(sizes)
        self.action_dtype = torch.int64
        self.params_size = self.num_actions_for_mask = self.noise_size = sum(sizes)

    def _split(self, joined: Tensor | None) -> list[Tensor] | list[None]:
        return [None] * len(self._sizes) if joined is None else list(joined.split_with_sizes(self._sizes, -1))

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return noise.exponential_(generator=generator).log_()

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        columns = zip(
            self._parts,
            params.split_with_sizes(self._sizes, -1),
            self._split(mask),
            noise.split_with_sizes(self._sizes, -1),
            strict=True,
        )
        return torch.cat([part.choose(p, m, n) for part, p, m, n in columns], -1)

    def mode(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        pairs = zip(self._parts, params.split_with_sizes(self._sizes, -1), self._split(mask), strict=True)
        return torch.cat([part.mode(p, m) for part, p, m in pairs], -1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        columns = zip(
            self._parts,
            params.split_with_sizes(self._sizes, -1),
            actions.split_with_sizes([1] * self.action_size, -1),
            self._split(mask),
            strict=True,
        )
        terms = [part.log_prob_entropy(p, a, m) for part, p, a, m in columns]
        return torch.stack([term[0] for term in terms]).sum(0), torch.stack([term[1] for term in terms]).sum(0)

    def entropy(self, params: Tensor, mask: Tensor | None = None) -> Tensor:
        pairs = zip(self._parts, params.split_with_sizes(self._sizes, -1), self._split(mask), strict=True)
        return torch.stack([part.entropy(p, m) for part, p, m in pairs]).sum(0)

    def kl(self, params_p: Tensor, params_q: Tensor, mask: Tensor | None = None) -> Tensor:
        columns = zip(
            self._parts,
            params_p.split_with_sizes(self._sizes, -1),
            params_q.split_with_sizes(self._sizes, -1),
            self._split(mask),
            strict=True,
        )
        return torch.stack([part.kl(p, q, m) for part, p, q, m in columns]).sum(0)


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


class Gaussian(ActionDist):
    """`Box`: independent normals, `params` are means and log standard deviations (free of the observation).

    Log-probabilities are those of the unclipped action; the environment side clips to the bounds. There are no masks.
    """

    def __init__(self, num_dims: int) -> None:
        self.action_size = self.free_size = self.noise_size = num_dims
        self.action_dtype = torch.float32
        self.params_size = 2 * num_dims

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        return params[..., : self.action_size], params[..., self.action_size :]

    def draw_noise(self, noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return noise.normal_(generator=generator)

    def choose(self, params: Tensor, mask: Tensor | None, noise: Tensor) -> Tensor:
        mean, log_std = self._split(params)
        return torch.addcmul(mean, noise, log_std.exp())

    def choose_numpy_into(
        self, out: NDArray[Any], params: NDArray[np.float32], mask: NDArray[Any] | None, noise: NDArray[np.float32]
    ) -> None:
        np.exp(params[:, self.action_size :], out=out)
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


def make_action_dist(space: spaces.Space[Any]) -> ActionDist:
    """The distribution for an action space. Raises UserError for one that is not supported."""
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiCategorical([int(size) for size in np.ravel(space.nvec)])
    if isinstance(space, spaces.MultiBinary):
        return Bernoulli(math.prod(space.shape))
    if isinstance(space, spaces.Box):
        return Gaussian(math.prod(space.shape))
    raise UserError(
        f"action space {type(space).__name__} is not supported yet; use Discrete, MultiDiscrete, MultiBinary or Box"
    )
