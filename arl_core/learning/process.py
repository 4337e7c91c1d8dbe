"""The learner's process: takes full slots, trains, publishes, saves; pauses by itself when its target is reached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.component import ComponentLink
from arl_core.ipc.fence import fence
from arl_core.ipc.slots import OwnFrames, SlotInbox, SlotShape, SlotState
from arl_core.ipc.usage import BOOKKEEPING, COPIES, MESSAGES, TRAINING, Meter
from arl_core.learning.assembler import BatchAssembler
from arl_core.learning.checkpoint import load_file
from arl_core.learning.learner import Learner, make_learner
from arl_core.learning.saving import Saver
from arl_core.learning.threads import LEAST_BUSY, Threads
from arl_core.models.recipe import ModelRecipe

REPORT_INTERVAL_S = 0.25
# words of `learner.counts`, read by the trainer at any time
TRAINED, VERSION, DROPPED_LAG, DROPPED_EPOCH, STAGED, BUSY = range(6)  # BUSY: within an iteration


def learner_specs(num_policies: int) -> dict[str, ArraySpec]:
    """Shared counters of each learner."""
    return {"learner.counts": ArraySpec((num_policies, 8), "int64")}


@dataclass(frozen=True)
class LearnerSpec:
    """What a learner needs besides its link."""

    shape: SlotShape
    recipe: ModelRecipe
    device: str
    policy: int
    folder: str  # of the checkpoints; "" saves nothing by itself
    group_bells: tuple[int, ...]  # bell number of each group's rollout worker
    most_threads: int = 1  # that it may come to by itself


class SlotIntake:
    """Takes full slots into the assembler, dropping those that are too old; keeps the books."""

    def __init__(self, learner: Learner, arena: Arena, shape: SlotShape, groups: range | None = None) -> None:
        cfg, policy = learner.cfg, learner.policy
        self._learner = learner
        self._shape = shape
        slots = None if groups is None else range(shape.ring(groups[0]).start, shape.ring(groups[-1]).stop)
        self.inbox = SlotInbox(arena, policy, slots)
        columns = cfg.batch_size * cfg.num_batches_per_iteration // shape.rollout
        pinned = learner.device.type == "cuda"
        self.assembler = BatchAssembler(arena, shape, self.inbox, columns, learner.model.dist, policy, pinned=pinned)
        self.counts: NDArray[np.int64] = arena["learner.counts"][policy]
        self._granted: NDArray[np.int64] = arena["group.granted"][:, 0]
        self._handed_over: NDArray[np.int64] = arena["group.slots"][:, 1:3]  # so far; with the one that is just handed over
        self._grant_all()
        self._batches = self._lag_max = 0  # since the last report
        self._lag_sum = 0.0
        self._versions: NDArray[np.int64] = arena["versions"][policy]
        self._own = OwnFrames(arena, policy)
        self._epochs: NDArray[np.int64] = arena["slot.weights_epoch"][policy]
        self._epoch: NDArray[np.int64] = arena["control.weights_epoch"][policy : policy + 1]
        # a run's length is the sum over its policies: the planned one, or the present target where that is further
        self._planned = cfg.train_for_env_steps * cfg.num_policies
        self._target: NDArray[np.int64] = arena["control.target_frames"]
        self._trained: NDArray[np.int64] = arena["learner.counts"][:, TRAINED]

    def _grant_all(self) -> None:
        """Synchronous mode: every group may fill its slots for one more iteration, with the weights published by now."""
        fence()
        self._granted += self._shape.slots_per_iteration

    def collect(self) -> list[int]:
        """Take full slots until a batch is complete or none is left; returns the groups whose slots came free."""
        released: list[int] = []
        while not self.assembler.complete:
            slot = self.inbox.oldest_full()
            if slot < 0:
                break
            if self._dropped(slot):
                self.inbox.release(slot)
                self._granted[self._group(slot)] += self._shape.slots_per_iteration > 0  # the iteration still needs one
            else:
                self.assembler.add(slot)
            if self.assembler.slot != slot:
                released.append(self._group(slot))
        return released

    def _group(self, slot: int) -> int:
        return slot // self._shape.slots_per_group

    def _dropped(self, slot: int) -> bool:
        if self._epochs[slot] != self._epoch[0]:
            self.counts[DROPPED_EPOCH] += self._own.count(slot)
            return True
        if self._version() - int(self._versions[slot].min()) > self._learner.cfg.max_policy_lag:
            self.counts[DROPPED_LAG] += self._own.count(slot)
            return True
        return False

    def discard(self) -> None:
        """New weights were set from outside: what was collected was sampled with the old ones."""
        self.counts[DROPPED_EPOCH] += self.assembler.drop()
        if self._shape.slots_per_iteration:  # the iteration begins anew; full slots count again when they are dropped
            full = [self._group(slot) for slot in self.inbox.all_full()]
            waiting = np.bincount(full, minlength=len(self._granted))
            # a worker may be handing over right now: rather one slot too many than an iteration that never is complete
            self._granted[:] = self._handed_over.max(1) - waiting + self._shape.slots_per_iteration

    def train(self, *, with_metrics: bool) -> int:
        """Train on the complete batch; returns the group whose slot came free meanwhile, or -1."""
        batch = self.assembler.take()
        frames = int(batch.valid.sum())
        lag = self._version() - self.assembler.column_versions
        self._batches += 1
        self._lag_sum += float(lag.mean())
        self._lag_max = max(self._lag_max, int(lag.max()))
        if self._learner.cfg.sampler_only:
            self._learner.frames += frames
        else:
            self._learner.progress = self._frames() / max(self._planned, int(self._target[0]), 1)
            self._learner.train(batch, frames, with_metrics=with_metrics, stacks=self.assembler.stacks)
        slot = self.assembler.slot
        self.assembler.next_batch()
        self._grant_all()
        self._add(frames)
        return self._group(slot) if slot >= 0 and self.assembler.slot < 0 else -1

    def reached(self) -> bool:
        """Whether the run has trained on as many frames as it shall."""
        return self._frames() >= int(self._target[0])

    def _frames(self) -> int:
        """Frames that the whole run has trained on."""
        return int(self._trained.sum())

    def _version(self) -> int:
        """The version that lag is measured from."""
        return self._learner.version

    def _add(self, frames: int) -> None:  # noqa: ARG002  # the learner has counted them
        """Frames were trained on."""
        self.counts[TRAINED], self.counts[VERSION] = self._learner.frames, self._learner.version

    def count(self) -> None:
        """Bring the shared counters up to date, for who reads them while we stand still."""
        self._add(0)
        self.counts[STAGED] = self.assembler.staged_frames()

    def drain_report(self) -> dict[str, Any]:
        """Lag of the batches since the last call."""
        if not self._batches:
            return {}
        report = {"lag_mean": self._lag_sum / self._batches, "lag_max": self._lag_max}
        self._batches = self._lag_max = 0
        self._lag_sum = 0.0
        return report


class LearnerProcess:
    """The loop of one learner."""

    def __init__(self, link: ComponentLink, spec: LearnerSpec) -> None:
        torch.set_num_threads(spec.recipe.cfg.torch_threads or 1)
        self.link = link
        self.learner = self._make_learner(spec)
        self.learner.beat = link.control.beat
        self.intake = SlotIntake(self.learner, link.arena, spec.shape)
        self.saver = Saver(self.learner, Path(spec.folder) if spec.folder else None)
        self._threads = Threads(spec.most_threads, LEAST_BUSY if spec.recipe.cfg.async_rl else 0.0)
        self._bells = [link.bells[number] for number in spec.group_bells]
        self._synchronous = spec.shape.slots_per_iteration > 0
        self._busy_s = 0.0
        self.meter = Meter(0)  # every round: they are few
        self._reported = time.monotonic()
        self._measured = False  # since we last stood still
        self._staging = torch.from_numpy(link.arena["weights.transfer"][spec.policy])
        self._evaluated = torch.from_numpy(link.arena["weights.evaluated"][spec.policy])

    def _make_learner(self, spec: LearnerSpec) -> Learner:
        return make_learner(spec.recipe, self.link.arena, spec.shape, spec.device, spec.policy)

    def run(self) -> None:
        """Until STOP."""
        while True:
            if self.link.changed():
                if not self.link.obey(self._on_pause, self._handle_commands):
                    return
                self._reported, self._busy_s = time.monotonic(), 0.0
                self._measured = False
                self._threads.begin()
            self._handle_commands()
            self._advance()

    def _advance(self) -> None:
        """Whatever can be done now, or a wait."""
        self.meter.begin()
        released = self.intake.collect()
        self.meter.lap(COPIES)
        for group in released:
            self._bells[group].ring()
        self.meter.lap(MESSAGES)
        reached = self.intake.reached()
        if self.intake.assembler.complete and not reached:
            self._train()
        elif reached:
            self.link.ring_trainer()
            self.link.wait()
        else:
            self.link.wait()

    def _train(self) -> None:
        now = time.monotonic()
        due = now - self._reported > REPORT_INTERVAL_S
        begin = time.perf_counter()
        self.meter.begin()
        self.intake.counts[BUSY] = 1  # commands wait for the end of the iteration
        frames, version = self.learner.frames, self.learner.version
        group = self.intake.train(with_metrics=due or not self._measured)  # a short `train` call shows losses too
        self._measured = True
        self.intake.counts[BUSY] = 0
        self.meter.lap(TRAINING)
        if self._synchronous:
            for bell in self._bells:  # they wait for what was published
                bell.ring()
        elif group >= 0:
            self._bells[group].ring()
        self.meter.lap(MESSAGES)
        seconds = time.perf_counter() - begin
        self._busy_s += seconds
        self.link.control.beat()
        told = self._threads.trained(seconds, self.learner.frames - frames, self.learner.version - version)
        if told:
            self.link.outbox.post(("told", f"{self.link.spec.name}: {told}"))
        if due:
            self._report(now)
        self._save_due()

    def _save_due(self) -> None:
        try:
            self._announce(*self.saver.save_due())
        except UserError as error:  # a full disk may be emptied: training goes on, and the next save is tried
            self.link.outbox.post(("warning", str(error)))
        self.meter.lap(BOOKKEEPING)

    def _report(self, now: float) -> None:
        if not self.link.outbox.flush():
            return
        values = {
            "policy": self.learner.policy,
            "losses": self.learner.metrics,
            "busy_s": self._busy_s,
            "elapsed_s": now - self._reported,
        }
        values["slots_full"] = self.intake.inbox.count(SlotState.FULL)
        self.meter.rows = self.learner.frames
        values["usage"] = self.link.usage(self.meter)
        self.link.outbox.post(("learning", values | self.intake.drain_report()))
        self._reported, self._busy_s = now, 0.0

    def _on_pause(self) -> None:
        self._count()
        self._report(time.monotonic())

    def _count(self) -> None:
        """Show the trainer where we are."""
        self.intake.count()

    def _announce(self, *saved: Path) -> str:
        for path in saved:
            self.link.outbox.post(("saved", str(path)))
        return str(saved[-1]) if saved else ""

    def _handle_commands(self) -> None:
        for number, command, argument in self.link.inbox.take():
            try:
                result = self._follow(command, argument)
            except UserError as error:  # a path that cannot be written, say: the asker hears of it, the learner lives
                result = error
            self._count()
            self.link.outbox.post(("done", (number, result)))
            self.link.control.beat()

    def _follow(self, command: str, argument: Any) -> Any:
        if command == "save":
            return self._announce(self.saver.save(Path(argument) if argument else None))
        if command == "save_best":
            best, evaluated = argument
            return self._announce(self.saver.save_best(best, self._evaluated if evaluated else None))
        if command == "load_weights":
            self.intake.discard()
            return self.learner.load_weights(self._staging)
        if command == "load_checkpoint":
            state = load_file(Path(argument))["learner"]
            self.intake.discard()
            return self.learner.load_state_dict(state)
        if command == "set_hyperparameters":
            return self.learner.set_hyperparameters(argument)
        raise ValueError(f"unknown command {command!r}")
