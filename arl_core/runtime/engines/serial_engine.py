"""Serial mode: the same group, actor and learner objects in one process and a fixed order. Bit-reproducible, and resumable
bit for bit where the environments can be saved."""

# ruff: noqa: D102  # `Engine` documents what is not documented here

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arl_core.envs.faults import close_after_use
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.state import identity
from arl_core.interfaces import EnvContext, UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotState
from arl_core.ipc.usage import BOOKKEEPING, COPIES, INFERENCE, TRAINING, Meter, usage
from arl_core.learning.checkpoint import load_file
from arl_core.learning.learner import Learner, make_learner
from arl_core.learning.process import SlotIntake
from arl_core.learning.saving import Saver
from arl_core.models.threads import kernel_threads
from arl_core.runtime.engines.books import Balance, Books
from arl_core.runtime.engines.engine import TICK_S, byte_vector, checkpoint_target, publish_first
from arl_core.runtime.engines.statistics import RunStatistics
from arl_core.runtime.plan import RunPlan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.memory import keep_memory
from arl_core.sampling.casting import Casting
from arl_core.sampling.episodes import EpisodeReport
from arl_core.sampling.evaluator import EvaluatorSpec, FrozenPlay
from arl_core.sampling.group_runner import GroupRunner
from arl_core.sampling.replica import ReplicaSpec, make_actor

log = logging.getLogger("arl")
_NOT_SAVED = ("weights.", "reports.", "commands.", "control.", "component.")
_MEASURED_EVERY = 8  # iterations of a learner: losses are shown a few times a second, and computing them takes time


class SerialEngine:
    """Everything in this process (an `Engine`)."""

    def __init__(self, plan: RunPlan, folder: Path | None) -> None:
        self.plan = plan
        self.statistics = RunStatistics(plan)
        self._folder = folder
        self._arena = Arena.create(plan.table)
        self._books = Books(self._arena)
        self.saves = 0
        self.learners: list[Learner] = []
        self._episodes = EpisodeReport()
        self.runners: list[GroupRunner] = []
        self._meter = Meter(plan.shape.rollout * plan.shape.num_groups)
        self._evaluator: FrozenPlay | None = None
        self._begun = False  # the environments have played
        self._target = 0  # frames of the present call of `train`
        self._iterations: list[int] = []  # of each learner in it

    def start(self, weights: Sequence[Tensor]) -> None:
        plan = self.plan
        keep_memory()
        arena = self._arena
        publish_first(arena, plan.shape, weights)
        self.learners = [
            make_learner(plan.recipe, arena, plan.shape, plan.device, policy) for policy in range(plan.cfg.num_policies)
        ]
        self.savers = [
            Saver(learner, self._folder and self._folder / f"p{learner.policy}", self._more_of(learner.policy))
            for learner in self.learners
        ]
        self.intakes = [SlotIntake(learner, arena, plan.shape) for learner in self.learners]
        self._make_sampler()

    def _make_sampler(self, life: int = 0) -> None:
        """Environments that stand at their beginning, and who acts; those of another `life` have streams of their own."""
        plan, arena = self.plan, self._arena
        self._life = life
        for runner in self.runners:
            close_after_use(runner.group)
        self.runners = []
        try:
            for group in range(plan.shape.num_groups):
                contexts = self._contexts(group)
                casting = None if plan.casting is None else Casting(plan.casting, contexts, life)
                environments = build_group(plan.env, contexts)
                self.runners.append(GroupRunner(environments, group, arena, plan.shape, self._episodes, casting, self._meter))
            for runner in self.runners:
                runner.reset()
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise _failure(error) from error
        replica = ReplicaSpec(plan.recipe, stream=0, life=life)
        with kernel_threads(torch.get_num_threads()):  # which an actor changes: it expects a process of its own
            self.actor = make_actor(replica, arena, plan.shape, range(plan.shape.num_groups))

    def _contexts(self, group: int) -> list[EnvContext]:
        plan, size = self.plan, self.plan.shape.envs_per_group
        return make_contexts(plan.cfg.seed, group * size, size, group // plan.groups_per_worker, self._life)

    def _begin(self) -> None:
        """Before the first frame, unless a checkpoint has brought environments that have begun."""
        decorrelation = self.plan.decorrelation
        if decorrelation is not None and not self._begun:
            for runner in self.runners:
                runner.decorrelate(decorrelation, self._contexts(runner.index))
        self._begun = True

    def train(self, frames: int, seconds: float, tick: Callable[[], bool]) -> None:
        self._arena["control.target_frames"][0] = self._target = frames
        self.statistics.resume_clock()
        deadline = self.statistics.seconds + seconds if seconds else float("inf")
        next_tick = time.monotonic()
        self._busy_s, self._reported = 0.0, time.monotonic()
        self._iterations = [0] * len(self.learners)
        advance = self._first_round
        try:
            with kernel_threads(self.plan.cfg.torch_threads or 1):  # results depend on it, bit for bit
                while self.frames < frames and self.statistics.seconds < deadline:
                    try:
                        advance()
                    except (Exception, SystemExit) as error:
                        raise _failure(error) from error
                    advance, now = self._round, time.monotonic()
                    if now >= next_tick:
                        next_tick = now + TICK_S
                        self._report(now)
                        if not tick():
                            break
                    self._save_due()
        finally:
            self._report(time.monotonic())
            self.statistics.pause_clock()

    def _first_round(self) -> None:
        """A round, after what the call before, or a checkpoint, has left to the learners."""
        self._begin()
        self._learn()
        if self.frames < self._target:
            self._round()

    def _round(self) -> None:
        """One step of every group, then whatever the learners can do."""
        for runner in self.runners:
            if runner.ready():
                self._step(runner)
        if not all(runner.slot >= 0 for runner in self.runners):  # a slot has become full
            self._learn()

    def _learn(self) -> None:
        """Train on every complete batch, but not past the target: the next call of `train` begins with the rest."""
        meter = self._meter
        meter.begin()
        for policy, intake in enumerate(self.intakes):
            intake.collect()
            while intake.assembler.complete and self.frames < self._target:
                begin = time.perf_counter()
                meter.charge(COPIES)
                intake.train(with_metrics=self._iterations[policy] % _MEASURED_EVERY == 0)
                self._iterations[policy] += 1
                meter.charge(TRAINING)
                intake.collect()
                self._busy_s += time.perf_counter() - begin
        meter.charge(COPIES)

    def _step(self, runner: GroupRunner) -> None:
        meter, measured = self._meter, self._meter.on
        if measured:
            meter.begin()
        self.actor.refresh()
        if measured:
            meter.lap(COPIES)
        self.actor.act_one(runner.index, runner.slot, runner.t)
        if measured:
            meter.lap(INFERENCE)
        runner.step()
        if measured:
            meter.lap(BOOKKEEPING)
            meter.end(self.plan.shape.group_size)

    def _save_due(self) -> None:
        """All at the same moment, policy 0 last: its checkpoint has what is on its way for all, and is read as the newest."""
        due = self.savers[0].due()
        if any(due):
            try:
                for saver in reversed(self.savers):
                    self.saves += len(saver.save_due(due))
            except UserError as error:  # a full disk may be emptied: training goes on, and the next save is tried
                log.warning("%s", error)

    def _report(self, now: float) -> None:
        elapsed = now - self._reported
        sampling = {"episodes": self._episodes.message(), "waited_s": 0.0, "elapsed_s": elapsed}
        sampling["usage"] = usage(self._meter, waited_s=0.0, rings=0)
        self._episodes.clear()
        self.statistics.take("serial", "sampling", sampling)
        for intake, learner in zip(self.intakes, self.learners, strict=True):
            values = {"policy": learner.policy, "losses": learner.metrics, "busy_s": self._busy_s, "elapsed_s": elapsed}
            values["slots_full"] = intake.inbox.count(SlotState.FULL)
            self.statistics.take("serial", "learning", values | intake.drain_report())
        self._busy_s, self._reported = 0.0, now

    @property
    def frames(self) -> int:
        return sum(learner.frames for learner in self.learners)

    def counts(self, policy: int | None = None) -> Mapping[str, int]:
        for intake in self.intakes:
            intake.count()
        return self._books.counts(policy)

    def balance(self, policy: int | None = None) -> Balance:
        for intake in self.intakes:
            intake.count()
        for runner in self.runners:
            runner.publish_position()
        return self._books.balance(policy)

    def weights(self, policy: int = 0) -> Tensor:
        target = byte_vector(self.plan.weights_bytes)
        self.learners[policy].flat.write_to(target)
        return target

    def load_weights(self, weights: Mapping[int, Tensor]) -> None:
        self._new_epoch(weights)
        for policy, vector in weights.items():
            self.learners[policy].load_weights(vector)

    def _new_epoch(self, policies: Iterable[int]) -> None:
        """What these policies sampled is dropped."""
        for policy in policies:
            self._arena["control.weights_epoch"][policy] += 1
            self.intakes[policy].discard()
        for runner in self.runners:
            runner.restart_slot()

    def load_checkpoints(self, paths: Mapping[int, Path]) -> None:
        """See `Engine`; the sampler's state too, where policy 0's checkpoint has it, it fits, and the others are of its
        moment."""
        states = {policy: load_file(path) for policy, path in paths.items()}
        sampler = states[0].get("sampler") if 0 in states else None
        with _reading_sampler(paths):
            exact = sampler is not None and self._fits(sampler, states)
        if not exact:
            self._new_epoch(paths)
        for policy, state in states.items():
            learner = self.learners[policy]
            before = learner.frames
            learner.load_state_dict(state["learner"])
            self._books.loaded[policy] += learner.frames - before
        if exact and sampler is not None:
            with _reading_sampler(paths):
                self._load_sampler(sampler)
        elif not self._begun and self.frames:
            self._make_sampler(life=self.frames)  # not what the run has been through already
        self.statistics.start_from(self.frames)

    def save(self, target: Path | None = None) -> Path:
        self.saves += 1
        places = [checkpoint_target(target, policy, len(self.savers)) for policy in range(len(self.savers))]
        return [saver.save(place) for saver, place in zip(reversed(self.savers), reversed(places), strict=True)][-1]

    def save_best(self, best: Mapping[str, Any], *, evaluated: bool, policy: int = 0) -> None:
        weights = torch.from_numpy(self._arena["weights.evaluated"][policy]) if evaluated else None
        self.savers[policy].save_best(best, weights)
        self.saves += 1

    def begin_evaluation(self) -> bool:
        """See `Engine`; training stands still meanwhile, and its clock too."""
        self.statistics.pause_clock()
        try:
            if self._evaluator is None:
                self._evaluator = FrozenPlay(
                    EvaluatorSpec(self.plan.env, self.plan.recipe, self.plan.agent_policies), self._arena
                )
            self._evaluator.begin(self.frames)
            while (result := self._evaluator.step()) is None:
                pass
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise _failure(error) from error
        finally:
            self.statistics.resume_clock()
        self.statistics.take("serial", "evaluation", result)
        return True

    def finish_evaluation(self, limit_s: float, go_on: Callable[[], bool]) -> bool:  # noqa: ARG002  # none is ever under way
        return True

    def _more_of(self, policy: int) -> Callable[[], Mapping[str, Any]]:
        """What a policy's checkpoint has besides its learner: that of policy 0, all that is on its way."""
        return dict if policy else lambda: {"sampler": self._sampler_state()}

    def _sampler_state(self) -> dict[str, Any] | None:
        """All that is on its way, or None where an environment cannot be saved."""
        runners = [runner.get_state() for runner in self.runners]
        if any(state is None for state in runners):
            return None
        arena = self._arena
        return {
            "environment": identity(self.plan.env),
            "begun": self._begun,
            "arena": {n: torch.from_numpy(arena[n].copy()) for n in self.plan.table if not n.startswith(_NOT_SAVED)},
            "runners": [{k: torch.from_numpy(np.array(v)) for k, v in state.items()} for state in runners if state],
            "actions": self.actor.generator.get_state(),
            "actor": self.actor.state.clone(),
            "acting_noise": self.actor.noise.state_dict(),
            "assemblers": [{k: v.clone() for k, v in each.assembler.state_dict().items()} for each in self.intakes],
            "versions": [learner.version for learner in self.learners],
            "frames_loaded": torch.from_numpy(self._books.loaded.copy()),
        }

    def _fits(self, state: Mapping[str, Any], checkpoints: Mapping[int, Mapping[str, Any]]) -> bool:
        """Whether a saved sampler has this run's environment and arrays, which it has not after a change of wrappers,
        num_workers, rollout and the like, and is of the same moment as the learners in `checkpoints` (by policy)."""
        arena, saved = self._arena, state["arena"]
        names = {name for name in self.plan.table if not name.startswith(_NOT_SAVED)}
        same = state.get("environment") == identity(self.plan.env)
        same = same and names == saved.keys() and all(arena[name].shape == tuple(saved[name].shape) for name in names)
        same = same and "acting_noise" in state and self.actor.noise.fits(state["acting_noise"])  # it was another one once
        columns = self.intakes[0].assembler.columns
        same = same and all(int(each["cursor"][0]) <= columns for each in state["assemblers"])  # of a larger batch
        versions = {policy: int(each["learner"]["version"]) for policy, each in checkpoints.items()}
        same = same and versions == dict(enumerate(state["versions"]))
        if not same:
            log.warning(
                "the checkpoint's environments are not this run's (wrappers, num_workers, rollout, ...): they begin anew"
            )
        return same

    def _load_sampler(self, state: Mapping[str, Any]) -> None:
        arena = self._arena
        self._begun = bool(state.get("begun", True))  # not in those from before, which had mostly begun
        for name, saved in state["arena"].items():
            arena[name][...] = saved.numpy()
        arena["slot.weights_epoch"][...] = arena["control.weights_epoch"][:, None]
        for runner, saved in zip(self.runners, state["runners"], strict=True):
            runner.set_state({key: value.numpy() for key, value in saved.items()})
        self.actor.generator.set_state(state["actions"])
        self.actor.state.copy_(state["actor"])
        self.actor.noise.load_state_dict(state["acting_noise"])
        for intake, saved in zip(self.intakes, state["assemblers"], strict=True):
            intake.assembler.load_state_dict(saved)
        for learner, intake, version in zip(self.learners, self.intakes, state["versions"], strict=True):
            later = learner.version - version  # of a run that had gone on: what was sampled lags no more than it did
            arena["versions"][learner.policy] += later
            intake.assembler.column_versions += later
        self._books.loaded[:] = state["frames_loaded"].numpy()

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        for learner in self.learners:
            learner.set_hyperparameters(values)

    def close(self) -> None:
        for runner in self.runners:
            close_after_use(runner.group)
        self.runners = []
        if self._evaluator is not None:
            close_after_use(self._evaluator.group)
            self._evaluator = None
        self._arena.close()


@contextmanager
def _reading_sampler(paths: Mapping[int, Path]) -> Iterator[None]:
    """Around what reads the saved environments of policy 0's checkpoint: what it raises becomes a UserError with its name."""
    try:
        yield
    except (Exception, SystemExit) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(
            f"the environments of checkpoint {paths[0]} cannot be put back ({why}); with another num_workers they begin anew"
        ) from error


def _failure(error: BaseException) -> ComponentFailure:
    if isinstance(error, UserError):
        log.info("%s", traceback.format_exc().rstrip())
        return ComponentFailure(str(error))
    return ComponentFailure(f"{type(error).__name__}: {error}", traceback.format_exc())
