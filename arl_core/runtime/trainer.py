"""The trainer: one run from its configuration to its result, whoever asks for it (the command line or Python)."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from arl_core.config import ResolvedConfig, RunConfig
from arl_core.config.idle import idle_fields
from arl_core.config.layers import AUTO_ORIGIN
from arl_core.interfaces import ResolvedEnv, RunInfo, UserError
from arl_core.learning.checking import check_checkpoint
from arl_core.learning.checkpoint import load_newest
from arl_core.models.checking import check_weights
from arl_core.models.flat import flatten_module
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import Snapshot
from arl_core.monitoring.summary import summary_dict
from arl_core.registry import run_parts, selection_of
from arl_core.registry.extensions import load_extensions
from arl_core.registry.loading import cause
from arl_core.runtime.engines.async_engine import AsyncEngine
from arl_core.runtime.engines.engine import Engine, byte_vector
from arl_core.runtime.engines.serial_engine import SerialEngine
from arl_core.runtime.engines.statistics import Before
from arl_core.runtime.extensions import Extensions
from arl_core.runtime.measuring.auto import settle
from arl_core.runtime.plan import RunPlan, check_group, make_plan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import Nurseries
from arl_core.runtime.rundir import RunDirectory
from arl_core.runtime.selection import BestCheckpoint, PeriodicEvaluation
from arl_core.runtime.signals import EndSignals

log = logging.getLogger("arl")
Observer = Callable[[Snapshot, EpisodeStatistics], bool | None]
_IMPORTED_IN = os.getpid()


class Outcome(IntEnum):
    """How a call of `train` ended."""

    SUCCESS = 0
    INTERRUPTED = 1
    FAILURE = 2


_STATUS: dict[Outcome, Literal["completed", "interrupted", "failed"]] = {
    Outcome.SUCCESS: "completed",
    Outcome.INTERRUPTED: "interrupted",
    Outcome.FAILURE: "failed",
}


def _explained(plan: RunPlan, resolved: ResolvedConfig) -> RunPlan:
    """A plan that says where its inference follows from a measurement; which one, the origin says."""
    measured = resolved.origin("inference").startswith(AUTO_ORIGIN)
    return replace(plan, inference_reason="measured at the start") if measured else plan


class Trainer:
    """A run. Processes start with the first `train` and live until `close`."""

    def __init__(
        self,
        resolved: ResolvedConfig,
        env: ResolvedEnv,
        directory: RunDirectory | None = None,
        nurseries: Nurseries | None = None,
    ) -> None:
        if os.getpid() != _IMPORTED_IN:
            torch.set_num_threads(1)  # a forked process does not have its parent's threads: torch's kernels would wait for them
        parts = run_parts(resolved.config, selection_of(resolved))
        resolved = settle(resolved, env, parts, nurseries)
        self.cfg = resolved.config
        self.env = env
        self.directory = directory
        self.plan: RunPlan = _explained(make_plan(self.cfg, env, parts), resolved)
        self.models = [self.plan.recipe.build(policy).eval() for policy in range(self.cfg.num_policies)]
        self._flats = [flatten_module(model) for model in self.models]
        self._nurseries = nurseries
        self._engine: Engine | None = None
        self._checkpoints: dict[int, tuple[Path, int]] = {}  # to load when the engine starts: of each policy, with its frames
        self._before = Before()  # of a resumed run
        self._extensions = Extensions(load_extensions(self.cfg.extensions, selection_of(resolved)))
        self.signal = 0  # that ended the last `train`
        self.failure: ComponentFailure | None = None
        self.snapshot: Snapshot | None = None
        self._saves = 0
        self._evaluation = PeriodicEvaluation(self.cfg)
        folders = [directory.policy_folder(policy) if directory else None for policy in range(self.cfg.num_policies)]
        self.best = [BestCheckpoint(self.cfg, folder, policy) for policy, folder in enumerate(folders)]
        self._resolved = resolved
        self._process, self._is_closed = os.getpid(), False
        self._training: int | None = None  # the thread in which `train` runs
        log.info("%s, inference %s (%s)", env.id, self.plan.inference, self.plan.inference_reason)
        if env.single_because:
            log.warning("%s: %s steps single environments in this run, which is slower", env.single_because, env.id)
        for sentence in idle_fields(resolved):
            log.warning("%s", sentence)
        if self.cfg.with_pbt:
            log.warning("with_pbt: a population of one policy has nobody to learn from: this is a plain run")

    # ----------------------------------------------------------------- engine

    @property
    def engine(self) -> Engine:
        """The engine, started when it is first needed. Raises UserError after `close`, in a forked process, and in another
        thread than that in which `train` runs."""
        self._check_turn()
        if self._engine is None:
            self._engine = self._start()
        return self._engine

    def _check_turn(self) -> None:
        self._check_usable()
        if self._training not in (None, threading.get_ident()):
            raise UserError("train runs in another thread: do this in its callback, or after it")

    def _check_usable(self) -> None:
        if self._is_closed:
            raise UserError("this model is closed: do this before close() or the end of its with block, or make a new one")
        if os.getpid() != self._process:
            raise UserError(f"this model belongs to process {self._process}, from which this one was forked: make one here")

    def _start(self) -> Engine:
        if self.env.vector_maker is not None:
            check_group(self.plan)
        folder = self.directory.checkpoints if self.directory else None
        engine: Engine
        if self.cfg.serial:
            engine = SerialEngine(self.plan, folder)
        else:
            engine = AsyncEngine(self.plan, folder, self._nurseries, life=self.frames)
        try:
            engine.start([self._weights_of(policy) for policy in range(len(self.models))])
            if self._checkpoints:
                engine.load_checkpoints({policy: path for policy, (path, _) in self._checkpoints.items()})
                self._checkpoints = {}
                engine.statistics.go_on(self._before)
            if self.directory is not None:  # from here on there is a run: environments and checkpoints have let it begin
                self.directory.write_config(self._resolved, self.env, self.plan)
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def frames(self) -> int:
        """Frames trained, in total; of checkpoints that the engine will load when it starts, before it does."""
        if self._engine is not None:
            return self._engine.frames
        return sum(frames for _, frames in self._checkpoints.values())

    def _weights_of(self, policy: int) -> Tensor:
        """Our own copy as a byte vector."""
        weights = byte_vector(self.plan.weights_bytes)
        self._flats[policy].write_to(weights)
        return weights

    def read_weights(self) -> None:
        """Bring the present weights into our own copies."""
        if self._engine is not None:
            for policy, flat in enumerate(self._flats):
                flat.read_from(self._engine.weights(policy))

    @property
    def episodes(self) -> EpisodeStatistics | None:
        """Statistics of the last episodes; None before the first `train` and after a failure."""
        return self._engine.statistics.episodes if self._engine is not None else None

    def resume(self) -> tuple[Path, int] | None:
        """Go on from each policy's newest intact checkpoint of the run directory: the file of policy 0, and the frames of all;
        None where there is none.

        Raises UserError where none is intact, where a policy has none, or where one does not fit this configuration's network.
        """
        assert self.directory is not None
        folders = [self.directory.policy_folder(policy) for policy in range(len(self.models))]
        found = [load_newest(folder, log.warning) for folder in folders]
        read = {policy: each for policy, each in enumerate(found) if each is not None}
        if not read:
            return None
        if len(read) < len(found):
            missing = folders[found.index(None)]
            raise UserError(f"{missing} has no checkpoint, and other policies of the run have; begin a new run")
        try:
            self.load_checkpoints({policy: (path, state) for policy, (state, path) in read.items()})
        except UserError as error:
            raise UserError(f"{error}. Resume without changing network, optimiser and losses, or begin a new run") from None
        self._before = Before.of_summary(self.directory.read_summary())
        return read[0][1], self.frames

    # ----------------------------------------------------------------- training

    def train(
        self, frames: int, seconds: float = 0.0, observer: Observer | None = None, *, additional: bool = False
    ) -> Outcome:
        """Train until `frames` frames (or so many more, where `additional`) for each policy, on average: until their sum is so
        often as much; or for `seconds` (0: no limit). Then, where there is a run directory, write the last checkpoint and the
        summary; wait for an evaluation that is under way. Extensions are told.

        `observer(snapshot, episodes)` is called a few times a second and may return False to end the call. A failure is
        logged, kept in `failure`, and ends the run's processes; weights of the last checkpoint stay.
        """
        self._check_usable()
        if self._training is not None:
            raise UserError("train was called while it runs, by its callback or another thread: return False to end it")
        self._training = threading.get_ident()
        try:
            return self._train_and_tell(frames, seconds, observer, additional)
        finally:
            self._training = None

    def _train_and_tell(self, frames: int, seconds: float, observer: Observer | None, additional: bool) -> Outcome:
        seconds_before = self._engine.statistics.seconds if self._engine is not None else self._before.seconds
        self._extensions.started(self._run_info(), seconds_before)
        self.signal, self.failure = 0, None
        try:
            with EndSignals(_announce) as signals:  # around both: a signal that comes between them ends no run unsaved
                outcome = self._train(frames, seconds, observer, additional, signals)
                if outcome is not Outcome.FAILURE:
                    outcome = self._finish(outcome, seconds_before if additional else -math.inf, signals)
            self.signal = signals.received
        except Exception as error:  # the observer's own, or a mistake that shows when the engine starts
            self._extensions.finished("failed", cause(error))
            raise
        if outcome is not Outcome.FAILURE and self.snapshot is not None:
            self._extensions.metrics(self.snapshot, self.engine.statistics.episodes, last=True)
        self._extensions.finished(_STATUS[outcome], str(self.failure or ""))
        return outcome

    def _run_info(self) -> RunInfo:
        path = self.directory.path.absolute() if self.directory is not None else None
        cfg, name = self.cfg, path.name if path else ""
        return RunInfo(name, path, self.env.id, cfg.algo, cfg.seed, self.frames, cfg.model_dump(mode="json"))

    def _train(self, frames: int, seconds: float, observer: Observer | None, additional: bool, signals: EndSignals) -> Outcome:
        stopped, end_s = False, 0.0
        target = frames * self.cfg.num_policies

        def tick() -> bool:
            nonlocal stopped
            self.snapshot = self._observe(target, end_s)
            episodes = self.engine.statistics.episodes
            self._extensions.metrics(self.snapshot, episodes)  # first: an observer that raises ends the call
            stopped = observer is not None and observer(self.snapshot, episodes) is False
            self._keep_best(self.snapshot)
            self._evaluation.consider(self.engine, self.snapshot)
            return not (stopped or signals.received)

        try:
            engine = self.engine
            target += engine.frames if additional else 0
            end_s = engine.statistics.seconds + seconds if seconds else 0.0
            engine.train(target, seconds, tick)
        except ComponentFailure as failure:
            self._fail(failure)
            return Outcome.FAILURE
        self.read_weights()
        self.snapshot = self._observe(target, end_s)
        return Outcome.INTERRUPTED if stopped or signals.received else Outcome.SUCCESS

    def _fail(self, failure: ComponentFailure) -> None:
        self.failure = failure
        log.error("%s", f"{failure}\n{failure.detail}".rstrip())
        self._write_summary("failure")
        self._end_engine()
        if self.directory is not None:
            try:
                if not self.directory.config.exists():  # it failed before it began
                    self.directory.write_config(self._resolved, self.env, self.plan)
                self.resume()  # a further `train` goes on from there
            except UserError as error:
                log.error("%s", error)

    def _observe(self, frames: int, seconds: float) -> Snapshot:
        engine = self.engine
        snapshot = engine.statistics.snapshot(engine.counts, frames, seconds)
        if engine.saves != self._saves:
            self._saves = engine.saves
            self.snapshot = snapshot
            self._write_summary("running")
        return snapshot

    def _finish(self, outcome: Outcome, seconds_before: float, signals: EndSignals) -> Outcome:
        """Write the last checkpoint, have the evaluation under way count unless somebody wants the end, write the summary. A
        signal meanwhile waits for what is written; a second one does not. `seconds_before`: of training, when a call began
        that others may follow."""
        snapshot = self.snapshot
        assert snapshot is not None
        try:
            if self.directory is not None:
                self.engine.save()
                self._saves = self.engine.saves
            if outcome is Outcome.SUCCESS:
                self._evaluation.finish(self.engine, snapshot.seconds - seconds_before, lambda: not signals.received)
                self.snapshot = snapshot = replace(snapshot, evaluation=self.engine.statistics.evaluation)
            self._keep_best(snapshot, last=True)
        except (ComponentFailure, UserError) as failure:
            self._fail(failure if isinstance(failure, ComponentFailure) else ComponentFailure(str(failure)))
            return Outcome.FAILURE
        self._write_summary(outcome.name.lower())
        return outcome

    def _keep_best(self, snapshot: Snapshot, *, last: bool = False) -> None:
        for best, policy in zip(self.best, self.engine.statistics.policies, strict=True):
            best.consider(self.engine, snapshot, policy.episodes, last=last)

    def _write_summary(self, status: str) -> None:
        if self.directory is None:
            return
        extra: dict[str, Any] = {"error": str(self.failure)} if self.failure else {}
        if self.snapshot is None or self._engine is None:  # failed before it trained
            summary = {"status": status, "frames": 0, "error": "", **extra}
        else:
            summary = summary_dict(status, self.snapshot, self._engine.statistics.episodes, extra)
        try:
            self.directory.write_summary(summary)
        except OSError as error:  # a full disk: what the run is and does does not depend on its summary
            log.warning("summary.json cannot be written: %s", error.strerror)

    def set_hyperparameters(self, cfg: RunConfig, names: Iterable[str]) -> None:
        """Have the running learners, and those of an engine that comes after a failure, go on with `cfg`, in which these fields
        are new."""
        self.engine.set_hyperparameters({name: getattr(cfg, name) for name in names})
        self.cfg = cfg
        self.plan = replace(self.plan, cfg=cfg, recipe=replace(self.plan.recipe, cfg=cfg))

    # ----------------------------------------------------------------- weights

    def state_dict(self, policy: int = 0) -> dict[str, Tensor]:
        """A policy's present weights and normalisers, CPU tensors by value."""
        self.read_weights()
        return {key: value.detach().clone() for key, value in self.models[policy].state_dict().items()}

    def load_state_dicts(self, states: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Have policies act with these weights from the very next frame. Raises ValueError, and changes nothing, where any does
        not fit."""
        self._adopt(states)
        if self._engine is not None:
            self._engine.load_weights({policy: self._weights_of(policy) for policy in states})

    def _adopt(self, states: Mapping[int, Mapping[str, Tensor]]) -> None:
        """`load_state_dicts` without the engine."""
        if self._engine or self._training:
            self._check_turn()
        for policy, state in states.items():
            check_weights(self.models[policy].state_dict(), state, f"policy {policy}: " if len(self.models) > 1 else "")
        for policy, state in states.items():
            self.models[policy].load_state_dict(dict(state))
            self._checkpoints.pop(policy, None)

    def load_checkpoints(self, found: Mapping[int, tuple[Path, Mapping[str, Any]]]) -> None:
        """Have policies go on from checkpoints, files that were read as states. Raises UserError, and changes nothing, where
        any does not fit."""
        for path, state in found.values():
            check_checkpoint(self.plan.recipe, path, state)
        self._adopt({policy: state["learner"]["model"] for policy, (_, state) in found.items()})
        if self._engine is not None:
            self._engine.load_checkpoints({policy: path for policy, (path, _) in found.items()})
        else:
            self._checkpoints |= {policy: (path, state["learner"]["frames"]) for policy, (path, state) in found.items()}

    def _end_engine(self) -> None:
        """End the processes; the last published weights stay with us."""
        if self._engine is not None:
            self.read_weights()
            self._engine.close()
            self._engine = None

    def close(self) -> None:
        """End the run's processes. Idempotent; nothing happens in a process forked from ours. UserError in a callback."""
        if os.getpid() != self._process:
            return
        if self._training is not None:
            raise UserError("close was called while train runs, by its callback or another thread: return False to end it")
        self._is_closed = True
        self._end_engine()
        if self._nurseries is not None:
            self._nurseries.close()
        if self.directory is not None:
            self.directory.close()


def _announce(what: str) -> None:
    log.warning("%s: finishing; again to stop at once", what)
