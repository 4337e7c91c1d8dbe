"""What the run's processes report, added up for the views, the logs and the summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.fps import FpsMeter
from arl_core.monitoring.snapshot import Snapshot
from arl_core.runtime.plan import RunPlan, available_cores
from arl_core.runtime.usage import UsageStatistics

_SMOOTHING = 0.7  # of fractions and lags from report to report


class RunStatistics:
    """Statistics of one policy's run. Time counts only between `resume_clock` and `pause_clock`."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self.episodes = EpisodeStatistics(plan.cfg.stats_window)
        self.losses: dict[str, float] = {}
        self.evaluation: dict[str, float] = {}  # the last one
        self.lag_mean = 0.0
        self.lag_max = 0.0  # of the whole run
        self._lag_new = True
        self.slots_full = 0
        self._fps = FpsMeter()
        self._seconds = 0.0
        self._since: float | None = None
        self._first_frames = 0
        self._waiting: dict[str, float] = {}
        self._busy: dict[str, float] = {}
        self.usage = UsageStatistics(available_cores())

    def start_from(self, frames: int) -> None:
        """Frames that were trained before this process began to (a resumed run)."""
        self._first_frames = frames
        self._fps = FpsMeter()

    def resume_clock(self) -> None:
        """Training time runs from now on."""
        self._since = time.monotonic()
        self.usage.clear()

    def pause_clock(self) -> None:
        """Training time stands still."""
        self._seconds, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    def take(self, sender: str, kind: str, values: Mapping[str, Any]) -> None:
        """One report of one component."""
        elapsed = max(float(values["elapsed_s"]), 1e-9)
        if "usage" in values:
            self.usage.take(sender, values["usage"])
        if kind == "sampling":
            message = values["episodes"]
            self.episodes.add_many(message["returns"], message["lengths"], message["metrics"], message["count"])
            self._waiting[sender] = min(float(values["waited_s"]) / elapsed, 1.0)
        elif kind == "inference":
            self._busy["inference"] = min(float(values["busy_s"]) / elapsed, 1.0)
        elif kind == "evaluation":
            self.evaluation = {key: float(value) for key, value in values.items()}
        elif kind == "learning":
            self.losses = dict(values["losses"]) or self.losses
            self._busy["learner"] = min(float(values["busy_s"]) / elapsed, 1.0)
            self.slots_full = int(values["slots_full"])
            if "lag_mean" in values:
                mean = float(values["lag_mean"])
                self.lag_mean = mean if self._lag_new else _SMOOTHING * self.lag_mean + (1 - _SMOOTHING) * mean
                self.lag_max = max(float(values["lag_max"]), self.lag_max)
                self._lag_new = False

    def snapshot(
        self, *, frames: int, sampled: int, versions: int, dropped: Mapping[str, int], target: int, seconds: float
    ) -> Snapshot:
        """The present moment. `target` and `seconds` are where training stops (0: nowhere)."""
        waiting = list(self._waiting.values())
        now = self.seconds
        return Snapshot(
            seconds=now,
            frames=frames,
            frames_sampled=sampled,
            target_frames=target,
            target_seconds=seconds,
            fps=self._fps.update(max(frames, self._first_frames), now),
            fps_total=(frames - self._first_frames) / now if now > 0 else 0.0,
            policy_lag_mean=self.lag_mean,
            policy_lag_max=self.lag_max,
            versions=versions,
            slots_full=self.slots_full,
            slots_total=self._plan.shape.num_slots,
            learner_busy=self._busy.get("learner", 0.0),
            sampler_waiting=sum(waiting) / len(waiting) if waiting else 0.0,
            inference_busy=self._busy.get("inference", 0.0) if self._plan.inference == "central" else None,
            cores_busy=self.usage.cores_busy,
            efficiency=self.usage.efficiency if self._plan.device == "cpu" else None,
            episodes=self.episodes.total,
            inference="central" if self._plan.inference == "central" else "local",
            dropped_frames=dict(dropped),
            losses=self.losses,
            evaluation=self.evaluation,
        )
