"""Adam (Kingma & Ba 2015, algorithm 1) on one flat vector.

`torch.optim.Adam` computes the same (a test compares them), but making one imports `torch._dynamo`: 0.9 s and 69 MB in every
learner. A flat vector needs none of its parameter groups and per-tensor loops either.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class FlatAdam:
    """Updates `params` [n] in place from `grads` [n]. `lr` may be changed between steps."""

    def __init__(self, params: Tensor, grads: Tensor, *, lr: float, betas: tuple[float, float], eps: float) -> None:
        self.lr = lr
        self._params, self._grads = params, grads
        self._betas, self._eps = betas, eps
        self.reset()

    def reset(self) -> None:
        """Forget all moments."""
        self._steps = 0
        self._first = torch.zeros_like(self._params)
        self._second = torch.zeros_like(self._params)

    @torch.no_grad()
    def step(self) -> None:
        """One update; both moments are corrected for their start at zero."""
        beta1, beta2 = self._betas
        self._steps += 1
        self._first.lerp_(self._grads, 1.0 - beta1)
        self._second.mul_(beta2).addcmul_(self._grads, self._grads, value=1.0 - beta2)
        scale = (1.0 - beta2**self._steps) ** 0.5
        denominator = self._second.sqrt().div_(scale).add_(self._eps)
        self._params.addcdiv_(self._first, denominator, value=-self.lr / (1.0 - beta1**self._steps))

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and number of steps, CPU tensors by value."""
        moments = {"exp_avg": self._first, "exp_avg_sq": self._second}
        return {"step": torch.tensor(self._steps), **{key: value.cpu().clone() for key, value in moments.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state. Raises ValueError where it is of another network."""
        if state["exp_avg"].shape != self._params.shape:
            saved = state["exp_avg"].numel()
            raise ValueError(f"Adam's state is of {saved} parameters, the network has {self._params.numel()}")
        self._steps = int(state["step"])
        self._first.copy_(state["exp_avg"])
        self._second.copy_(state["exp_avg_sq"])
