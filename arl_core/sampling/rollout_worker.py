"""The rollout worker: steps its environment groups, with its own copy of the policy or with answers of a policy worker.

In central mode this process never imports torch.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arl_core.envs.decorrelate import Decorrelation
from arl_core.envs.faults import close_after_use
from arl_core.envs.group import build_group, make_contexts
from arl_core.interfaces import EnvContext, ResolvedEnv
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentLink
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.usage import BOOKKEEPING, COPIES, INFERENCE, MESSAGES, Meter
from arl_core.sampling.casting import Casting, CastingSpec
from arl_core.sampling.episodes import EpisodeReport
from arl_core.sampling.group_runner import GroupRunner

if TYPE_CHECKING:
    from arl_core.sampling.actor import Actor
    from arl_core.sampling.replica import ReplicaSpec

REPORT_INTERVAL_S = 0.25


@dataclass(frozen=True)
class RolloutSpec:
    """What a rollout worker needs besides its link."""

    env: ResolvedEnv
    shape: SlotShape
    groups: range  # this worker's groups
    seed: int
    replica: ReplicaSpec | None  # local inference; None: central
    learners: tuple[int, ...]  # bell numbers
    policy_workers: tuple[int, ...]  # bell numbers; those of policy 0 first
    casting: CastingSpec | None = None  # None: one policy plays every row
    life: int = 0  # how often this worker was restarted: each life has environment streams of its own
    niceness: int = 0
    cpu: int | None = None
    decorrelation: Decorrelation | None = None

    def settle_process(self) -> None:
        """Give the present process its niceness and its processor."""
        if self.niceness:
            os.nice(self.niceness)
        if self.cpu is not None:
            with contextlib.suppress(AttributeError, OSError):  # not on this platform, or not allowed to us: it is only a hint
                os.sched_setaffinity(0, {self.cpu})


class RolloutWorker:
    """The loop of one rollout worker."""

    def __init__(self, link: ComponentLink, spec: RolloutSpec) -> None:
        spec.settle_process()
        self.link = link
        self._spec = spec
        self.report = EpisodeReport()
        self.meter = Meter(spec.shape.rollout * len(spec.groups))
        self._size = spec.shape.group_size
        self.runners: list[GroupRunner] = []
        for group in spec.groups:
            contexts = self._contexts(group)
            environments = build_group(spec.env, contexts, link.control.beat)
            casting = None if spec.casting is None else Casting(spec.casting, contexts, spec.life)
            runner = GroupRunner(environments, group, link.arena, spec.shape, self.report, casting, self.meter)
            self.runners.append(runner)
            link.control.beat()
        self._learners = [link.bells[number] for number in spec.learners]
        self._policy = self._policy_bells(spec)
        self.actor: Actor | None = None
        if spec.replica is not None:
            from arl_core.sampling.replica import make_actor

            self.actor = make_actor(spec.replica, link.arena, spec.shape, spec.groups)
        self._waited_s = 0.0
        self._reported = time.monotonic()

    def _contexts(self, group: int) -> list[EnvContext]:
        spec, size = self._spec, self._spec.shape.envs_per_group
        return make_contexts(spec.seed, group * size, size, self.link.spec.index, spec.life)

    def _policy_bells(self, spec: RolloutSpec) -> dict[int, list[Bell]]:
        """Central inference: the bells of each group's policy workers, one for each policy."""
        bells: dict[int, list[Bell]] = {group: [] for group in spec.groups}
        share_of = len(spec.policy_workers) // spec.shape.num_policies
        for number, bell in enumerate(spec.policy_workers):
            for group in spec.shape.served_groups(number % share_of, share_of):
                if group in bells:
                    bells[group].append(self.link.bells[bell])
        return bells

    def run(self) -> None:
        """Until STOP. Everything begins with a pause."""
        try:
            self._loop()
        finally:
            for runner in self.runners:
                close_after_use(runner.group)

    def _loop(self) -> None:
        for runner in self.runners:
            runner.reset()
            self.link.control.beat()
            if self._spec.decorrelation is not None:
                runner.decorrelate(self._spec.decorrelation, self._contexts(runner.index), self.link.control.beat)
        advance = self._advance_local if self.actor is not None else self._advance_central
        while True:
            if self.link.changed() and not self._obey():
                return
            progressed = advance()
            self.link.control.beat()
            now = time.monotonic()
            if now - self._reported > REPORT_INTERVAL_S:
                self._send_report(now)
            if not progressed:
                self._waited_s += self.link.wait()

    def _obey(self) -> bool:
        alive = self.link.obey(self._on_pause, lambda: None)
        for runner in self.runners:
            if alive and runner.stale():
                runner.restart_slot()
        self._reported = time.monotonic()
        return alive

    def _on_pause(self) -> None:
        for runner in self.runners:
            runner.publish_position()
        self._send_report(time.monotonic())

    def _advance_local(self) -> bool:
        actor = self.actor
        assert actor is not None
        progressed, meter = False, self.meter
        for runner in self.runners:
            if runner.ready():
                if not meter.on:
                    actor.refresh()
                    actor.act_one(runner.index, runner.slot, runner.t)
                    self._step(runner)
                else:
                    meter.begin()
                    actor.refresh()
                    meter.lap(COPIES)
                    actor.act_one(runner.index, runner.slot, runner.t)
                    meter.lap(INFERENCE)
                    self._step(runner)
                progressed = True
        return progressed

    def _advance_central(self) -> bool:
        progressed = False
        for runner in self.runners:
            if runner.waiting:
                if not runner.answered():
                    continue
                if self.meter.on:
                    self.meter.begin()
                self._step(runner)
                progressed = True
            if runner.ready():
                measured = self.meter.on
                if measured:
                    self.meter.begin()
                runner.request_action()
                for bell in self._policy[runner.index]:
                    bell.ring()
                if measured:
                    self.meter.lap(MESSAGES)
                progressed = True
        return progressed

    def _step(self, runner: GroupRunner) -> None:
        meter, measured = self.meter, self.meter.on
        runner.step()
        if measured:
            meter.lap(BOOKKEEPING)
        if runner.slot < 0:
            self._hand_over()
            if measured:
                meter.lap(MESSAGES)
        if measured:
            meter.end(self._size)

    def _hand_over(self) -> None:
        """A slot has become full."""
        for bell in self._learners:
            bell.ring()

    def _send_report(self, now: float) -> None:
        """Statistics since the last report; kept for the next one if the trainer has not taken the last yet."""
        if not self.link.outbox.flush():
            return
        values = {"episodes": self.report.message(), "waited_s": self._waited_s, "elapsed_s": now - self._reported}
        values["usage"] = self.link.usage(self.meter)
        self.report.clear()
        self._waited_s, self._reported = 0.0, now
        self.link.outbox.post(("sampling", values))
