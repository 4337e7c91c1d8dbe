"""The rollout worker that trains (`hogwild`): it samples until it has a batch of its own, then moves the shared parameters."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.ipc.component import ComponentLink
from arl_core.ipc.usage import COPIES, TRAINING
from arl_core.learning.hogwild import WorkerIntake, WorkerLearner
from arl_core.learning.process import STAGED
from arl_core.sampling.rollout_worker import REPORT_INTERVAL_S, RolloutSpec, RolloutWorker


class HogwildWorker(RolloutWorker):
    """The loop of one rollout worker with one group."""

    def __init__(self, link: ComponentLink, spec: RolloutSpec) -> None:
        super().__init__(link, spec)
        assert self.actor is not None
        assert spec.replica is not None
        recipe = spec.replica.recipe
        torch.set_num_threads(recipe.cfg.torch_threads or 1)
        self.learner = WorkerLearner(recipe, link.arena, link.spec.index)
        self.learner.beat = link.control.beat
        self.actor.follow(self.learner)
        self.intake = WorkerIntake(self.learner, link.arena, spec.shape, spec.groups)
        self._epochs: NDArray[np.int64] = link.arena["control.weights_epoch"]
        self._epoch = -1
        self._busy_s = 0.0
        self._measured = 0.0  # when metrics were read last

    def _obey(self) -> bool:
        alive = super()._obey()
        self._follow_weights()
        return alive

    def _follow_weights(self) -> None:
        if self._epoch != self._epochs[0]:  # others were set, or these are our first ones
            self._epoch = int(self._epochs[0])
            self.intake.discard()
            self.learner.pull()

    def _on_pause(self) -> None:
        self._measured = 0.0  # a short `train` call shows losses too
        self.intake.counts[STAGED] = self.intake.assembler.staged_frames()
        super()._on_pause()

    def _advance_local(self) -> bool:
        """Act, or train where there is a batch. The parameters that act do not change within a rollout."""
        if self.runners[0].slot >= 0:
            return super()._advance_local()
        self._follow_weights()
        self.meter.begin()
        self.intake.collect()
        self.meter.charge(COPIES)
        if not self.intake.assembler.complete:
            return super()._advance_local()
        if not self.intake.reached():
            self._train()
            return True
        return False

    def _train(self) -> None:
        begin = time.perf_counter()
        due = begin - self._measured > REPORT_INTERVAL_S
        if due:
            self._measured = begin
        self.learner.follow_hyperparameters()
        self.intake.train(with_metrics=due)
        self.meter.charge(TRAINING)
        self._busy_s += time.perf_counter() - begin
        if self.intake.reached():
            self._learners[0].ring()  # the keeper, which tells the trainer

    def _hand_over(self) -> None:
        """Nothing: a full slot is our own business."""

    def _send_report(self, now: float) -> None:
        elapsed = now - self._reported
        super()._send_report(now)
        if self._reported != now:
            return  # the trainer has not taken the last one
        values = {"policy": 0, "losses": self.learner.metrics, "busy_s": self._busy_s, "elapsed_s": elapsed, "slots_full": 0}
        self.link.outbox.post(("learning", values | self.intake.drain_report()))
        self._busy_s = 0.0
