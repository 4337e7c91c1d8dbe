"""Serial mode: the same group, actor and learner objects in one process and a fixed order. Bit-reproducible, and resumable
bit for bit where the environments can be saved."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arl_core.envs.group import build_group, make_contexts
from arl_core.interfaces import EnvContext, UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotState
from arl_core.learning.checkpoint import load_file
from arl_core.learning.learner import Learner, make_board
from arl_core.learning.process import DROPPED_EPOCH, DROPPED_LAG, SlotIntake
from arl_core.learning.saving import Saver
from arl_core.runtime.engine import TICK_S, Balance, ComponentFailure, byte_vector
from arl_core.runtime.plan import RunPlan
from arl_core.runtime.statistics import RunStatistics
from arl_core.sampling.episodes import EpisodeReport
from arl_core.sampling.evaluator import EvaluatorSpec, FrozenPlay
from arl_core.sampling.group_runner import GroupRunner
from arl_core.sampling.replica import ReplicaSpec, make_actor

log = logging.getLogger("arl")
_NOT_SAVED = ("weights.", "reports.", "commands.", "control.", "component.")


class SerialEngine:
    """Everything in this process (an `Engine`)."""

    def __init__(self, plan: RunPlan, folder: Path | None) -> None:
        self.plan = plan
        self.statistics = RunStatistics(plan)
        self._folder = folder
        self._initial: Tensor | None = None
        self._arena: Arena | None = None
        self._frames_loaded = 0
        self.saves = 0
        self._episodes = EpisodeReport()
        self.runners: list[GroupRunner] = []
        self._evaluator: FrozenPlay | None = None
        self._begun = False  # the environments have played

    def publish_initial(self, weights: Tensor) -> None:
        """The weights to start with; before `start`."""
        self._initial = weights

    def start(self) -> None:
        """See `Engine`."""
        plan = self.plan
        threads = torch.get_num_threads()
        self._arena = arena = Arena.create(plan.table)
        self._board = make_board(arena, 0)
        self.learner = Learner(plan.recipe, self._board, plan.device)
        assert self._initial is not None, "publish_initial comes first"
        self.learner.flat.read_from(self._initial)
        self.learner.publish()
        self.saver = Saver(self.learner, self._folder and self._folder / "p0", lambda: {"sampler": self._sampler_state()})
        self.intake = SlotIntake(self.learner, arena, plan.shape)
        try:
            for group in range(plan.shape.num_groups):
                environments = build_group(plan.env, self._contexts(group))
                self.runners.append(GroupRunner(environments, group, arena, plan.shape, self._episodes))
            for runner in self.runners:
                runner.reset()
        except UserError:
            raise
        except Exception as error:
            raise _failure(error) from error
        self.actor = make_actor(ReplicaSpec(plan.recipe, stream=0), arena, plan.shape, range(plan.shape.num_groups))
        torch.set_num_threads(threads)

    def _contexts(self, group: int) -> list[EnvContext]:
        plan, size = self.plan, self.plan.shape.group_size
        return make_contexts(plan.cfg.seed, group * size, size, group // plan.groups_per_worker)

    def _begin(self) -> None:
        """Before the first frame, unless a checkpoint has brought environments that have begun."""
        decorrelation = self.plan.decorrelation
        if decorrelation is not None and not self._begun:
            for runner in self.runners:
                runner.decorrelate(decorrelation, self._contexts(runner.index))
        self._begun = True

    def train(self, frames: int, seconds: float, tick: Callable[[], bool]) -> None:
        """See `Engine`."""
        assert self._arena is not None
        self.statistics.resume_clock()
        deadline = self.statistics.seconds + seconds if seconds else float("inf")
        threads = torch.get_num_threads()
        torch.set_num_threads(self.plan.cfg.torch_threads)  # results depend on it, bit for bit
        next_tick = time.monotonic()
        self._busy_s, self._reported = 0.0, time.monotonic()
        try:
            while self.learner.frames < frames and self.statistics.seconds < deadline:
                try:
                    self._begin()
                    self._round()
                except Exception as error:
                    raise _failure(error) from error
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + TICK_S
                    self._report(now)
                    if not tick():
                        break
                self.saves += len(self.saver.save_due())
        finally:
            torch.set_num_threads(threads)
            self._report(time.monotonic())
            self.statistics.pause_clock()

    def _round(self) -> None:
        """One step of every group, then whatever the learner can do."""
        for runner in self.runners:
            if runner.ready():
                self.actor.refresh()
                self.actor.act_one(runner.index, runner.slot, runner.t)
                runner.step()
        self.intake.collect()
        while self.intake.assembler.complete:
            begin = time.perf_counter()
            self.intake.train(with_metrics=True)
            self.intake.collect()
            self._busy_s += time.perf_counter() - begin

    def _report(self, now: float) -> None:
        elapsed = now - self._reported
        sampling = {"episodes": self._episodes.message(), "waited_s": 0.0, "elapsed_s": elapsed}
        self._episodes.clear()
        self.statistics.take("serial", "sampling", sampling)
        values = {"losses": self.learner.metrics, "busy_s": self._busy_s, "elapsed_s": elapsed}
        values["slots_full"] = self.intake.inbox.count(SlotState.FULL)
        self.statistics.take("serial", "learning", values | self.intake.drain_report())
        self._busy_s, self._reported = 0.0, now

    @property
    def frames(self) -> int:
        """See `Engine`."""
        return self.learner.frames

    @property
    def version(self) -> int:
        """See `Engine`."""
        return self.learner.version

    def counts(self) -> Mapping[str, int]:
        """See `Engine`."""
        assert self._arena is not None
        frames = self._arena["group.frames"]
        return {
            "sampled": int(frames[:, 0].sum()),
            "dropped_lag": int(self.intake.counts[DROPPED_LAG]),
            "dropped_epoch": int(self.intake.counts[DROPPED_EPOCH] + frames[:, 1].sum()),
            "optimiser_steps": self.learner.version,
        }

    def balance(self) -> Balance:
        """See `Engine`."""
        assert self._arena is not None
        counts, valid = self.counts(), self._arena["valid"]
        full = int(np.count_nonzero(valid[self._arena["slot.state"] == SlotState.FULL]))
        partial = sum(int(np.count_nonzero(valid[r.slot, : r.t])) for r in self.runners if r.slot >= 0)
        return Balance(
            produced=counts["sampled"] + partial,
            trained=self.frames - self._frames_loaded,
            dropped_lag=counts["dropped_lag"],
            dropped_epoch=counts["dropped_epoch"],
            in_flight=full + partial + self.intake.assembler.staged_frames(),
        )

    def weights(self) -> Tensor:
        """See `Engine`."""
        target = byte_vector(self.plan.weights_bytes)
        self.learner.flat.write_to(target)
        return target

    def load_weights(self, weights: Tensor) -> None:
        """See `Engine`."""
        self._new_epoch()
        self.learner.load_weights(weights)

    def _new_epoch(self) -> None:
        assert self._arena is not None
        self._arena["control.weights_epoch"][0] += 1
        self.intake.discard()
        for runner in self.runners:
            runner.restart_slot()

    def load_checkpoint(self, path: Path) -> None:
        """See `Engine`; the sampler's state too, where the checkpoint has it and it fits."""
        state = load_file(path)
        before = self.frames
        sampler = state.get("sampler")
        if sampler is None or not self._fits(sampler):
            self._new_epoch()
            self.learner.load_state_dict(state["learner"])
            self._frames_loaded += self.frames - before
        else:
            self.learner.load_state_dict(state["learner"])
            self._load_sampler(sampler)
        self.statistics.start_from(self.frames)

    def save(self, target: Path | None = None) -> Path:
        """See `Engine`."""
        self.saves += 1
        return self.saver.save(target)

    def save_best(self, best: Mapping[str, Any], *, evaluated: bool) -> None:
        """See `Engine`."""
        assert self._arena is not None
        weights = torch.from_numpy(self._arena["weights.evaluated"][0]) if evaluated else None
        self.saver.save_best(best, weights)
        self.saves += 1

    def begin_evaluation(self) -> bool:
        """See `Engine`; training stands still meanwhile, and its clock too."""
        assert self._arena is not None
        self.statistics.pause_clock()
        try:
            if self._evaluator is None:
                self._evaluator = FrozenPlay(EvaluatorSpec(self.plan.env, self.plan.recipe), self._arena)
            self._evaluator.begin(self.frames)
            while (result := self._evaluator.step()) is None:
                pass
        except UserError:
            raise
        except Exception as error:
            raise _failure(error) from error
        finally:
            self.statistics.resume_clock()
        self.statistics.take("serial", "evaluation", result)
        return True

    def _sampler_state(self) -> dict[str, Any] | None:
        """All that is on its way, or None where an environment cannot be saved."""
        assert self._arena is not None
        runners = [runner.get_state() for runner in self.runners]
        if any(state is None for state in runners):
            return None
        assembler = self.intake.assembler
        arena = self._arena
        return {
            "arena": {n: torch.from_numpy(arena[n].copy()) for n in self.plan.table if not n.startswith(_NOT_SAVED)},
            "runners": [{k: torch.from_numpy(np.asarray(v)) for k, v in state.items()} for state in runners if state],
            "actions": self.actor.generator.get_state(),
            "actor": self.actor.state.clone(),
            "noise": self.actor.noise.clone(),
            "assembler": {k: v.clone() for k, v in assembler.state_dict().items()},
            "frames_loaded": self._frames_loaded,
        }

    def _fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a saved sampler has this run's arrays; not so after a change of num_workers, rollout and the like."""
        assert self._arena is not None
        arena, saved = self._arena, state["arena"]
        names = {name for name in self.plan.table if not name.startswith(_NOT_SAVED)}
        same = names == saved.keys() and all(arena[name].shape == tuple(saved[name].shape) for name in names)
        same = same and int(state["assembler"]["cursor"][0]) <= self.intake.assembler.columns  # of a larger batch
        if not same:
            log.warning("the checkpoint's environments are not this run's (another num_workers, rollout, ...): they begin anew")
        return same

    def _load_sampler(self, state: Mapping[str, Any]) -> None:
        arena = self._arena
        assert arena is not None
        self._begun = True
        for name, saved in state["arena"].items():
            arena[name][...] = saved.numpy()
        arena["slot.weights_epoch"][...] = arena["control.weights_epoch"][0]
        for runner, saved in zip(self.runners, state["runners"], strict=True):
            runner.set_state({key: value.numpy() for key, value in saved.items()})
        self.actor.generator.set_state(state["actions"])
        self.actor.state.copy_(state["actor"])
        self.actor.noise.copy_(state["noise"])
        self.intake.assembler.load_state_dict(state["assembler"])
        self._frames_loaded = int(state["frames_loaded"])

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """See `Engine`."""
        self.learner.set_hyperparameters(values)

    def close(self) -> None:
        """See `Engine`."""
        for runner in self.runners:
            runner.group.close()
        self.runners = []
        if self._evaluator is not None:
            self._evaluator.group.close()
            self._evaluator = None
        if self._arena is not None:
            self._arena.close()


def _failure(error: Exception) -> ComponentFailure:
    return ComponentFailure(f"{type(error).__name__}: {error}", traceback.format_exc())
