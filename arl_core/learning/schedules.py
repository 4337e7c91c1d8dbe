"""The learning rate of a run, step by step (`lr_schedule`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from arl_core.config import RunConfig
from arl_core.interfaces import UserError

# Sample Factory's controller: how far from the threshold a KL divergence must lie to change the rate, and by how much it does.
BAND = 2.0
FACTOR = 1.5


class LearningRate:
    """`value` is the present rate. Call `begin_step` before each optimiser step, `after_step` and `after_epoch` where
    `needs_kl`; only then is a KL divergence read, and a GPU waited for: once a step or once an epoch, as the schedule says."""

    def __init__(self, cfg: RunConfig) -> None:
        self._schedule = cfg.lr_schedule
        self._threshold = cfg.lr_schedule_kl_threshold
        self._bounds = cfg.lr_adaptive_min, cfg.lr_adaptive_max
        self._kls: list[Tensor] = []  # of this epoch's steps
        self.rebase(cfg.learning_rate)

    @property
    def needs_kl(self) -> bool:
        """Whether the schedule looks at the policy's KL divergence."""
        return self._schedule in {"kl_adaptive_minibatch", "kl_adaptive_epoch"}

    def rebase(self, base: float) -> None:
        """A new rate was set from outside: the schedule goes on from there."""
        self.base = self.value = base

    def begin_step(self, progress: float) -> float:
        """The rate of the step that comes now; `progress` is the part of the run's frames that has been trained on."""
        if self._schedule == "linear":
            self.value = self.base * max(1.0 - progress, 0.0)
        return self.value

    def after_step(self, metrics: Mapping[str, Tensor]) -> None:
        """`metrics` of the step's loss: "kl" is KL(behaviour || policy) of its batch, before the step. Raises UserError
        where the algorithm reports none."""
        kl = metrics.get("kl")
        if kl is None:
            raise UserError(f"lr_schedule {self._schedule} needs the metric 'kl', which this algorithm does not report")
        if self._schedule == "kl_adaptive_minibatch":
            self._adapt(kl.item())
        else:
            self._kls.append(kl)

    def after_epoch(self) -> None:
        """One pass over the batch has ended."""
        if self._kls:
            kl = torch.stack(self._kls).mean().item()
            self._kls.clear()
            self._adapt(kl)

    def _adapt(self, kl: float) -> None:
        least, most = self._bounds
        if kl > BAND * self._threshold:
            self.value = max(self.value / FACTOR, least)
        elif kl < self._threshold / BAND:
            self.value = min(self.value * FACTOR, most)

    def state_dict(self) -> dict[str, Any]:
        """The present rate, the configured one that it came from, and the schedule that led there."""
        return {"schedule": self._schedule, "base": self.base, "value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved rate; where another `learning_rate` or `lr_schedule` is configured now, as configured."""
        if float(state["base"]) == self.base and state.get("schedule") == self._schedule:
            self.value = float(state["value"])
