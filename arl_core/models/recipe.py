"""How a run's network is built, as a value that pickles: every process builds its own from the same recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from arl_core.config import RunConfig
from arl_core.interfaces import load_object
from arl_core.models.actor_critic import ActorCritic


@dataclass(frozen=True)
class ModelRecipe:
    """How to build a run's network: the same in every process."""

    obs_space: Any  # gymnasium spaces pickle
    action_space: Any
    cfg: RunConfig
    encoder_maker: str

    def build(self) -> ActorCritic:
        """A network with weights from the run's seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.cfg.seed)
            return ActorCritic(self.obs_space, self.action_space, self.cfg, load_object(self.encoder_maker))
