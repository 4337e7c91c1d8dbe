"""`arl bench`: the parts of a run, the limit that follows from them, the run itself, and where the rest goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from arl_core.config import ResolvedConfig
from arl_core.interfaces import ResolvedEnv
from arl_core.ipc.control import Role
from arl_core.ipc.usage import PARTS
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import Snapshot
from arl_core.runtime.engines.usage import ProcessShare, share_between
from arl_core.runtime.measuring.child import measure_in_child
from arl_core.runtime.measuring.parts import Parts, PartsRequest, Seconds
from arl_core.runtime.measuring.traffic import traffic
from arl_core.runtime.plan import RunPlan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import Nurseries
from arl_core.runtime.trainer import Outcome, Trainer

TRAINER = "trainer"  # the process that asks; it reports to nobody
_FOREVER = 1 << 62  # frames
_MAX_STRETCH = 6.0  # how many times longer than asked a run may take to train on two batches


@dataclass(frozen=True)
class BenchOptions:
    """How long to measure."""

    seconds: float  # of each run
    rounds: int
    timeout_s: float  # for the parts

    @property
    def warm_up_s(self) -> float:
        """Of each run, before it is measured."""
        return min(0.4 * self.seconds, 2.0)

    @property
    def part_s(self) -> float:
        """For each figure of each part."""
        return min(0.14 * self.seconds, 2.0)


@dataclass(frozen=True)
class Limit:
    """What the machine could do at most, from the parts alone, seconds per frame."""

    environment_s: float
    inference_s: float
    training_s: float
    cores: int
    device: str
    serial: bool = False

    @property
    def fps(self) -> float:
        """All parts on the cores; where a GPU computes beside them, the slower of the cores' and the GPU's share."""
        if self.device == "cpu" or self.serial:
            return self.cores / (self.environment_s + self.inference_s + self.training_s)
        return 1.0 / max(self.environment_s / self.cores, self.inference_s + self.training_s)


def bench(resolved: ResolvedConfig, env: ResolvedEnv, options: BenchOptions, tell: Callable[[str], None]) -> dict[str, Any]:
    """Parts and run in turn, `rounds` times; plain values. `tell` hears of each step. Raises UserError, ComponentFailure,
    and SystemExit after a signal: half a measurement is none."""
    nurseries = Nurseries()
    trainer: Trainer | None = None
    try:
        if not resolved.config.serial:
            nurseries.begin(resolved.config)
        trainer = Trainer(resolved, env, None, nurseries)
        rounds = []
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}: parts")
            request = request_of(trainer.plan, options.part_s)
            parts = measure_in_child(nurseries, request, options.timeout_s, "; use a longer --timeout")
            tell(f"round {number + 1} of {options.rounds}: run")
            rounds.append((parts, _run(trainer, options)))
        return _result(trainer.plan, rounds)
    finally:
        if trainer is not None:
            trainer.close()
        nurseries.close()


def request_of(plan: RunPlan, seconds: float) -> PartsRequest:
    """The settings among which each part's fastest is looked for: as the run steps and acts, and all its rows at once."""
    shape, worker = plan.shape, plan.cfg.num_envs_per_worker
    everyone = plan.cfg.num_workers * worker * shape.num_agents
    groups, batches = {shape.envs_per_group, worker}, {shape.group_size, everyone}
    return PartsRequest(plan, tuple(sorted(groups)), tuple(sorted(batches)), seconds, training=not plan.cfg.sampler_only)


# --------------------------------------------------------------------------- the run


@dataclass
class _Mark:
    """The run at one moment: the first at which a number of frames was seen."""

    at_s: float
    frames: int
    usage: Mapping[str, Mapping[str, Any]]
    cpu_s: float  # of this process


@dataclass(frozen=True)
class RunMeasure:
    """One run: trained frames a second, and what each process did with its seconds."""

    fps: float
    processes: Mapping[str, ProcessShare]


class _Watch:
    """Observes a run until it has trained for `seconds` after `warm_up_s`, on two batches at least."""

    def __init__(self, trainer: Trainer, warm_up_s: float, seconds: float) -> None:
        self._trainer = trainer
        self._begin = time.monotonic() + warm_up_s
        self._end = self._begin + seconds
        self._last = self._begin + seconds * _MAX_STRETCH
        self.marks: list[_Mark] = []
        parts = [] if trainer.cfg.serial else trainer.plan.components
        self._reporting = {part.name for part in parts if part.role is not Role.EVALUATION}

    def __call__(self, snapshot: Snapshot, _episodes: EpisodeStatistics) -> bool:
        now = time.monotonic()
        usage = dict(self._trainer.engine.statistics.usage.newest)
        if now < self._begin or snapshot.frames == 0 or not usage.keys() >= self._reporting:
            return now < self._last
        if not self.marks or snapshot.frames > self.marks[-1].frames:
            self.marks.append(_Mark(now, snapshot.frames, usage, time.process_time()))
        return now < self._end or (len(self.marks) < 3 and now < self._last)


def _run(trainer: Trainer, options: BenchOptions) -> RunMeasure:
    watch = _Watch(trainer, options.warm_up_s, options.seconds)
    outcome = trainer.train(_FOREVER, observer=watch)
    if outcome is Outcome.FAILURE:
        raise ComponentFailure(str(trainer.failure), trainer.failure.detail if trainer.failure else "")
    if trainer.signal:
        raise SystemExit(128 + trainer.signal)
    if len(watch.marks) < 2:
        raise ComponentFailure("the run trained on no two batches in the time given; use more --seconds or a smaller batch")
    first, last = watch.marks[0], watch.marks[-1]
    seconds = last.at_s - first.at_s
    processes = {name: share_between(first.usage[name], report) for name, report in last.usage.items() if name in first.usage}
    cpu = (last.cpu_s - first.cpu_s) / seconds
    if trainer.cfg.serial:
        waiting = 0.0
    else:
        waiting = 1.0 - cpu  # it sleeps between its looks at the run
        processes[TRAINER] = ProcessShare(dict.fromkeys(PARTS, 0.0), cpu, waiting, rows_per_s=0.0, rings_per_s=0.0, starved=0.0)
    return RunMeasure((last.frames - first.frames) / seconds, processes)


# --------------------------------------------------------------------------- the result


def _result(plan: RunPlan, rounds: list[tuple[Parts, RunMeasure]]) -> dict[str, Any]:
    """Medians over the rounds, and every round."""
    entries = [_round(plan, parts, run) for parts, run in rounds]
    middle = {key: statistics.median(entry[key] for entry in entries) for key in ("fps", "limit_fps", "efficiency")}
    cfg = plan.cfg
    setting = {
        "env": plan.env.id,
        "algo": cfg.algo,
        "device": plan.device,
        "cores": plan.cores,
        "serial": cfg.serial,
        "hogwild": cfg.hogwild,
        "inference": plan.inference,
        "num_workers": cfg.num_workers,
        "num_envs_per_worker": cfg.num_envs_per_worker,
        "groups_per_worker": plan.groups_per_worker,
        "policy_workers": plan.num_policy_workers,
        "rollout": cfg.rollout,
        "batch_size": cfg.batch_size,
        "num_batches_per_iteration": cfg.num_batches_per_iteration,
        "ppo_epochs": cfg.ppo_epochs,
    }
    return {"setting": setting, **middle, "traffic": traffic(plan.shape), "rounds": entries}


def _round(plan: RunPlan, parts: Parts, run: RunMeasure) -> dict[str, Any]:
    rows, env_s = min(parts.environment.items(), key=lambda item: item[1].median)
    (batch, way), inference_s = min(parts.inference.items(), key=lambda item: item[1].median)
    training = parts.training or Seconds(0.0, 0.0)  # none with sampler_only
    where = plan.cores, plan.device, plan.cfg.serial
    limit = Limit(env_s.median, inference_s.median, training.median, *where)
    fastest = Limit(env_s.fastest, inference_s.fastest, training.fastest, *where)
    return {
        "environment_s": env_s.median,
        "environment_rows": rows,
        "inference_s": inference_s.median,
        "inference_rows": batch,
        "inference_way": way,
        "training_s": training.median,
        "limit_fps": limit.fps,
        "fastest_limit_fps": fastest.fps,
        "fps": run.fps,
        "efficiency": run.fps / limit.fps,
        "parts": parts.to_json(),
        "processes": {name: _process(share) for name, share in run.processes.items()},
        "in_run_s": _in_run(run, plan.cores),
    }


def _process(share: ProcessShare) -> dict[str, float]:
    """Fractions of each second of one process."""
    rates = {"rows_per_s": share.rows_per_s, "rings_per_s": share.rings_per_s}
    return {**share.parts, "other": share.other, "waiting": share.waiting, "no_core": share.no_core, **rates}


def _in_run(run: RunMeasure, cores: int) -> dict[str, float]:
    """Core seconds per trained frame, all processes together, by what they went into; `idle`: cores without work of ours."""
    shares = run.processes.values()
    totals = {part: sum(share.parts[part] for share in shares) for part in PARTS}
    totals["other"] = sum(share.other for share in shares)
    totals["idle"] = max(cores - sum(share.cpu for share in shares), 0.0)
    return {name: seconds / run.fps for name, seconds in totals.items()}
