"""How a run's network is built, as a value that pickles: every process builds its own from the same recipe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cloudpickle
import torch

from arl_core.config import RunConfig
from arl_core.interfaces import RunParts, load_object
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.custom import CustomNetwork
from arl_core.models.policy import PolicyNetwork
from arl_core.models.threads import kernel_threads

_SEED_STEP = 1_000_003  # between the policies of a run: not between the seeds that people choose
_LOCK = threading.RLock()


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Modules made here draw their weights from `seed`. torch's stream is the whole process's: one thread has it at a time, and
    the user has it back as it was."""
    # one thread: the last bits of an orthogonal matrix depend on their number; they are the same on every machine
    with _LOCK, torch.random.fork_rng(devices=[]), kernel_threads(1):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class ModelRecipe:
    """How to build a run's network: the same in every process."""

    obs_space: Any  # gymnasium spaces pickle
    action_space: Any
    cfg: RunConfig
    parts: RunParts

    def load(self, maker: str) -> Any:
        """What a maker of `parts` names."""
        code = self.parts.code.get(maker)
        return load_object(maker) if code is None else cloudpickle.loads(code)

    def build(self, policy: int = 0) -> PolicyNetwork:
        """A network with weights from the run's seed, other ones for every policy."""
        spaces = self.obs_space, self.action_space
        with initial_weights(self.cfg.seed + policy * _SEED_STEP):
            if self.parts.model is not None:
                return CustomNetwork(*spaces, self.cfg, self.load(self.parts.model))
            return ActorCritic(*spaces, self.cfg, self.load(self.parts.encoder))
