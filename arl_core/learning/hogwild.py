"""Training without a learner (`hogwild`): every rollout worker applies the gradients of its own rollouts to shared parameters.

That is A3C as published (Mnih et al. 2016, algorithm S3, shared RMSProp): a worker acts with a copy theta' of the parameters,
computes the gradient at theta', moves the shared theta with the optimiser's shared statistics, and copies theta again. Nobody
locks anything (Recht et al. 2011): see docs/decisions/0010-hogwild.md for what may race, and why it does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.component import ComponentLink, post_metrics
from arl_core.ipc.slots import SlotShape, SlotState
from arl_core.ipc.weights import WeightsBoard
from arl_core.learning.learner import LIVE_HYPERPARAMETERS, Learner
from arl_core.learning.optimizers import OPTIMIZERS
from arl_core.learning.process import (
    DROPPED_EPOCH,
    DROPPED_LAG,
    REPORT_INTERVAL_S,
    STAGED,
    TRAINED,
    VERSION,
    LearnerProcess,
    LearnerSpec,
    SlotIntake,
)
from arl_core.models.recipe import ModelRecipe

_FRAMES, _VERSION, _STEPS = range(3)  # words of `shared.base`
_LIVE = sorted(LIVE_HYPERPARAMETERS)


def hogwild_specs(num_workers: int, weights_bytes: int, optimizer: str) -> dict[str, ArraySpec]:
    """What the workers share. The weights are float32 parameters and nothing else."""
    n = weights_bytes // 4
    return {
        "shared.params": ArraySpec((n,), "float32"),
        "shared.moments": ArraySpec((len(OPTIMIZERS[optimizer].MOMENTS), n), "float32"),
        "shared.counts": ArraySpec((num_workers, 8), "int64"),  # as `learner.counts`; each worker writes its own row
        "shared.base": ArraySpec((8,), "int64"),  # what the sums of `counts` are added to; the keeper's
        "shared.live": ArraySpec((len(_LIVE),), "float64"),  # hyperparameters, by name in order; the keeper's
    }


class SharedState:
    """Parameters [n], moments [m, n] and counters of all workers."""

    def __init__(self, arena: Arena) -> None:
        self.params = torch.from_numpy(arena["shared.params"])
        self.moments = torch.from_numpy(arena["shared.moments"])
        self.counts: NDArray[np.int64] = arena["shared.counts"]
        self.base: NDArray[np.int64] = arena["shared.base"]
        self.live: NDArray[np.float64] = arena["shared.live"]

    @property
    def frames(self) -> int:
        """Frames trained, in total."""
        return int(self.base[_FRAMES] + self.counts[:, TRAINED].sum())

    @property
    def version(self) -> int:
        """Optimiser steps of all workers, and one for each set of weights from outside."""
        return int(self.base[_VERSION] + self.counts[:, VERSION].sum())

    @property
    def steps(self) -> int:
        """Optimiser steps since the moments were zero."""
        return int(self.base[_STEPS] + self.counts[:, VERSION].sum())


class SharedLearner(Learner):
    """A learner with a copy of its own of the shared parameters, at which it computes gradients."""

    def __init__(self, recipe: ModelRecipe, arena: Arena, policy: int = 0) -> None:
        super().__init__(recipe, WeightsBoard(arena, policy), "cpu", policy)
        self.shared = SharedState(arena)
        self.optimizer.share(self.shared.params, self.shared.moments)
        self._pulled = np.zeros(3, np.int64)  # frames, version, steps

    def pull(self) -> None:
        """Copy the shared parameters, and take over the counters."""
        self.frames, self.version, self.optimizer.steps = self.shared.frames, self.shared.version, self.shared.steps
        self._pulled[:] = self._totals()
        self.flat.params.copy_(self.shared.params)

    def _totals(self) -> tuple[int, int, int]:
        return self.frames, self.version, self.optimizer.steps


class WorkerLearner(SharedLearner):
    """The learner in rollout worker `worker`, whose actor follows it (a `WeightsSource`)."""

    def __init__(self, recipe: ModelRecipe, arena: Arena, worker: int) -> None:
        super().__init__(recipe, arena)
        self.counts: NDArray[np.int64] = self.shared.counts[worker]
        self._live = np.array([getattr(self.cfg, name) for name in _LIVE], np.float64)

    def _apply(self) -> None:
        super()._apply()
        self.counts[VERSION] += 1
        self.pull()

    def publish(self) -> None:
        """Nothing: the parameters that were moved are shared."""

    def read_into(self, target: NDArray[np.uint8]) -> int:
        """Our copy, and its version."""
        self.flat.write_to(torch.from_numpy(target))
        return self.version

    def follow_hyperparameters(self) -> None:
        """Take over what was changed from outside."""
        changed = np.flatnonzero(self.shared.live != self._live)
        if len(changed):
            self._live[changed] = self.shared.live[changed]
            named = ((_LIVE[i], self._live[i]) for i in changed)
            self.set_hyperparameters({name: type(getattr(self.cfg, name))(value) for name, value in named})


class WorkerIntake(SlotIntake):
    """Takes the full slots of one worker's groups, and keeps its books."""

    def __init__(self, learner: WorkerLearner, arena: Arena, shape: SlotShape, groups: range) -> None:
        super().__init__(learner, arena, shape, groups)
        self._shared = learner.shared
        self.counts = learner.counts

    def _frames(self) -> int:
        return self._shared.frames

    def _version(self) -> int:
        return self._shared.version  # so that lag is how often others have moved the parameters since

    def _add(self, frames: int) -> None:
        self.counts[TRAINED] += frames  # steps are counted one by one


def settle_worker(arena: Arena, worker: int, group: int, slots: range) -> None:
    """After the death of a worker (and `settle_hand_over`): its slots are nobody's, except full ones. Frames that it had
    taken and not counted as trained are counted as dropped, wherever it was killed."""
    state, valid = arena["slot.state"][0, slots.start : slots.stop], arena["valid"][slots.start : slots.stop]
    state[state == SlotState.TRAINING] = SlotState.FREE
    produced = arena["group.frames"][0, group, 0]
    counts: NDArray[np.int64] = arena["shared.counts"][worker]
    counted = counts[[TRAINED, DROPPED_LAG, DROPPED_EPOCH]].sum() + np.count_nonzero(valid[state == SlotState.FULL])
    counts[DROPPED_EPOCH] += produced - counted
    counts[STAGED] = 0


class KeeperLearner(SharedLearner):
    """The shared state as the rest of the run sees it: published, saved, replaced."""

    def push(self) -> None:
        """Make our weights those of all, and change the totals as ours have changed since `pull`: what workers count
        meanwhile is not lost."""
        self.shared.params.copy_(self.flat.params)
        self.shared.base[:3] += np.array(self._totals()) - self._pulled
        self._pulled[:] = self._totals()

    def publish(self) -> None:
        """What was loaded or set is shared, and on the board."""
        self.push()
        super().publish()

    def publish_shared(self) -> None:
        """What the workers have made of the parameters is on the board."""
        self.pull()
        if self.version > self.board.version:
            super().publish()

    def state_dict(self, weights: Tensor | None = None) -> dict[str, Any]:
        """See `Learner`."""
        self.pull()
        return super().state_dict(weights)

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """See `Learner`; workers follow."""
        super().set_hyperparameters(values)
        self.shared.live[:] = [getattr(self.cfg, name) for name in _LIVE]


class Keeper(LearnerProcess):
    """Stands where the learner does, and trains nothing: counts what the workers do, publishes, saves, follows commands."""

    learner: KeeperLearner

    def _make_learner(self, spec: LearnerSpec) -> KeeperLearner:
        learner = KeeperLearner(spec.recipe, self.link.arena, spec.policy)
        learner.take_published()
        return learner

    def __init__(self, link: ComponentLink, spec: LearnerSpec) -> None:
        super().__init__(link, spec)
        self.learner.push()
        self.learner.set_hyperparameters({})  # so that they are shared

    def _advance(self) -> None:
        self._look()
        if self.intake.reached():
            self.link.ring_trainer()
        self._save_due()
        post_metrics(self.link, "keeping", {"usage": self.link.usage(self.meter), "elapsed_s": REPORT_INTERVAL_S})
        self.link.wait(REPORT_INTERVAL_S)

    def _on_pause(self) -> None:
        self._look()

    def _look(self) -> None:
        self.learner.publish_shared()
        self._count()

    def _count(self) -> None:
        self.intake.counts[TRAINED], self.intake.counts[VERSION] = self.learner.frames, self.learner.version
        for word in (DROPPED_LAG, DROPPED_EPOCH, STAGED):
            self.intake.counts[word] = self.learner.shared.counts[:, word].sum()
