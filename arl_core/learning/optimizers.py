"""Adam and RMSprop on one flat vector.

`torch.optim` computes the same (tests compare them), but making one of its optimisers imports `torch._dynamo`: 0.9 s and 69 MB
in every learner. A flat vector needs none of its parameter groups and per-tensor loops either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from arl_core.config import RunConfig
from arl_core.models.flat import FlatState


class FlatOptimizer:
    """Updates `params` [n] in place from `grads` [n]. `lr` may be changed between steps. A subclass names its moments, which
    are vectors [n] that begin at zero, and how they move the parameters."""

    MOMENTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Tensor, grads: Tensor, *, lr: float) -> None:
        self.lr = lr
        self.steps = 0  # since the moments were zero
        self._params, self._grads = params, grads
        self._moments = {name: torch.zeros_like(params) for name in self.MOMENTS}

    def share(self, params: Tensor, moments: Tensor) -> None:
        """Work on `params` [n] and `moments` [m, n] in shared memory from now on, which other processes change too."""
        self._params, self._moments = params, dict(zip(self.MOMENTS, moments, strict=True))

    def reset(self) -> None:
        """Forget all moments."""
        self.steps = 0
        for moment in self._moments.values():
            moment.zero_()

    def step(self) -> None:
        """One update."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and number of steps, CPU tensors by value."""
        moments = {name: value.cpu().clone() for name, value in self._moments.items()}
        return {"step": torch.tensor(self.steps), **moments}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state. Raises ValueError where it is another optimiser's or of another network."""
        check_moments(type(self), state)
        for name, value in self._moments.items():
            if state[name].shape != value.shape:
                raise ValueError(
                    f"the optimiser's state is of {state[name].numel()} parameters, the network has {value.numel()}"
                )
        self.steps = int(state["step"])
        for name, value in self._moments.items():
            value.copy_(state[name])


class FlatAdam(FlatOptimizer):
    """Adam (Kingma & Ba 2015, algorithm 1)."""

    MOMENTS = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Tensor, grads: Tensor, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        self._betas, self._eps = betas, eps
        super().__init__(params, grads, lr=lr)

    @torch.no_grad()
    def step(self) -> None:
        """One update; both moments are corrected for their start at zero."""
        beta1, beta2 = self._betas
        first, second = self._moments["exp_avg"], self._moments["exp_avg_sq"]
        self.steps += 1
        first.lerp_(self._grads, 1.0 - beta1)
        second.mul_(beta2).addcmul_(self._grads, self._grads, value=1.0 - beta2)
        scale = (1.0 - beta2**self.steps) ** 0.5
        denominator = second.sqrt().div_(scale).add_(self._eps)
        self._params.addcdiv_(first, denominator, value=-self.lr / (1.0 - beta1**self.steps))


class FlatRmsProp(FlatOptimizer):
    """RMSprop (Tieleman & Hinton 2012), not centred, as A3C and IMPALA use it: one running mean of squared gradients for
    the whole run, which every trajectory updates (A3C's "shared statistics")."""

    MOMENTS = ("square_avg", "momentum_buffer")

    def __init__(self, params: Tensor, grads: Tensor, *, lr: float, alpha: float, eps: float, momentum: float = 0.0) -> None:
        self._alpha, self._eps, self._momentum = alpha, eps, momentum
        super().__init__(params, grads, lr=lr)

    @torch.no_grad()
    def step(self) -> None:
        """One update; epsilon is added to the root, as in torch (TensorFlow, which IMPALA's authors used, has it below)."""
        square, buffer = self._moments["square_avg"], self._moments["momentum_buffer"]
        self.steps += 1
        square.mul_(self._alpha).addcmul_(self._grads, self._grads, value=1.0 - self._alpha)
        denominator = square.sqrt().add_(self._eps)
        if self._momentum:
            buffer.mul_(self._momentum).addcdiv_(self._grads, denominator)
            self._params.add_(buffer, alpha=-self.lr)
        else:
            self._params.addcdiv_(self._grads, denominator, value=-self.lr)


OPTIMIZERS: dict[str, type[FlatOptimizer]] = {"adam": FlatAdam, "rmsprop": FlatRmsProp}


def make_optimizer(cfg: RunConfig, flat: FlatState) -> FlatOptimizer:
    """The run's optimiser for the parameters of `flat`."""
    common: dict[str, Any] = {"params": flat.params, "grads": flat.grads, "lr": cfg.learning_rate}
    if cfg.optimizer == "rmsprop":
        return FlatRmsProp(**common, alpha=cfg.rmsprop_alpha, eps=cfg.rmsprop_eps, momentum=cfg.rmsprop_momentum)
    return FlatAdam(**common, betas=(cfg.adam_beta1, cfg.adam_beta2), eps=cfg.adam_eps)


def check_moments(kind: type[FlatOptimizer], state: Mapping[str, Any]) -> None:
    """Raises ValueError where a saved state is another optimiser's."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError("its optimiser's state is none")
    if state.keys() != {"step", *kind.MOMENTS}:
        names = {other: name for name, other in OPTIMIZERS.items()}
        owner = next((name for name, other in OPTIMIZERS.items() if state.keys() == {"step", *other.MOMENTS}), "another")
        raise ValueError(f"its optimiser is {owner}, this run's is {names[kind]}")
