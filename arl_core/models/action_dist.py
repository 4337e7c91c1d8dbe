"""What every action distribution does: stateless, one object an action space, the same for acting and learning.

Shapes: `params` [..., P], `actions` [..., A], `mask` [..., M] with 0 where an action is impossible, or None. Leading
axes are arbitrary, results have them. A mask that is zero everywhere on a row (or, for MultiDiscrete, on one component)
means "any action": the distribution there is uniform. No result and no gradient is ever NaN because of a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
    free_limits: tuple[float, float] = (-np.inf, np.inf)
    """Between which free parameters are clamped. `choose_numpy_into` is given them so already: they change with the weights,
    not with every step."""
    squashed: tuple[tuple[int, float, float], ...] = ()
    """(column, low, high) of the columns that are stored before their tanh: see `envs.spaces.Squash`."""

    @property
    def head_size(self) -> int:
        """How many parameters the network computes for each observation."""
        return self.params_size - self.free_size

    def components(self, params: Tensor, mask: Tensor | None) -> Iterator[tuple[ActionDist, Tensor, Tensor | None]]:
        """The independent distributions that this one is the product of, each with its parameters and mask; itself alone
        where it is no product of different kinds."""
        yield self, params, mask

    def initial_params(self) -> Tensor:
        """The parameters [P] that an untrained policy begins with, but for the head's small weights."""
        return torch.zeros(self.params_size)

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

    def sample(self, params: Tensor, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw actions [..., A]. `generator` lives on the device of `params`."""
        return self.choose(params, mask, self.draw_noise(params.new_empty(*params.shape[:-1], self.noise_size), generator))

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
