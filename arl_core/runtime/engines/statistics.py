"""What the run's processes report, added up for the views, the logs and the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.fps import FpsMeter
from arl_core.monitoring.snapshot import PolicySnapshot, Snapshot
from arl_core.runtime.engines.usage import UsageStatistics
from arl_core.runtime.plan import RunPlan

_SMOOTHING = 0.7  # of fractions and lags from report to report


class Before(NamedTuple):
    """What earlier processes of a resumed run have counted."""

    seconds: float = 0.0
    episodes: int = 0
    of_policies: tuple[int, ...] = ()

    @classmethod
    def of_summary(cls, summary: Mapping[str, Any]) -> Before:
        """From what `summary.json` holds; nothing where there is none, or it is none of ours."""
        try:
            policies = tuple(int(policy["episodes"]) for policy in summary["policies"])
            return cls(float(summary["seconds"]), int(summary["episodes"]), policies)
        except (KeyError, TypeError, ValueError):
            return cls()


class PolicyStatistics:
    """What is known of one policy."""

    def __init__(self, window: int) -> None:
        self.episodes = EpisodeStatistics(window)  # that it played
        self.losses: dict[str, float] = {}
        self.lag_mean = 0.0
        self.lag_max = 0.0  # of the whole run
        self._lag_new = True

    def take(self, values: Mapping[str, Any]) -> None:
        """A report of its learner."""
        self.losses = dict(values["losses"]) or self.losses
        if "lag_mean" in values:
            mean = float(values["lag_mean"])
            self.lag_mean = mean if self._lag_new else _SMOOTHING * self.lag_mean + (1 - _SMOOTHING) * mean
            self.lag_max = max(float(values["lag_max"]), self.lag_max)
            self._lag_new = False

    def snapshot(self, counts: Mapping[str, int]) -> PolicySnapshot:
        """The present moment; `counts` as of `Engine.counts`."""
        return PolicySnapshot(
            frames=counts["trained"],
            versions=counts["optimiser_steps"],
            episodes=self.episodes.total,
            return_mean=self.episodes.return_mean,
            length_mean=self.episodes.length_mean,
            policy_lag_mean=self.lag_mean,
            policy_lag_max=self.lag_max,
            dropped_frames=_dropped(counts),
            losses=self.losses,
        )


class RunStatistics:
    """Statistics of a run. Time counts only between `resume_clock` and `pause_clock`."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        window = plan.cfg.stats_window
        self.policies = [PolicyStatistics(window) for _ in range(plan.cfg.num_policies)]
        # of all episodes that policies play; those of snapshots are not among them
        self.episodes = EpisodeStatistics(window) if plan.shape.has_owners else self.policies[0].episodes
        self.evaluation: dict[str, float] = {}  # the last one
        self.slots_full = 0
        self._fps = FpsMeter()
        self._seconds = 0.0
        self._since: float | None = None
        self._first_frames, self._first_seconds = 0, 0.0  # what the mean rate is counted from
        self._waiting: dict[str, float] = {}
        self._busy: dict[str, dict[str, float]] = {"inference": {}, "learner": {}}  # by sender
        self.usage = UsageStatistics(plan.cores)

    def start_from(self, frames: int) -> None:
        """Go on from `frames` that were trained elsewhere (a checkpoint was loaded): rates count from here."""
        self._first_frames, self._first_seconds = frames, self.seconds
        self._fps = FpsMeter()

    def go_on(self, before: Before) -> None:
        """Count on from what an earlier process of the run has counted; after `start_from`."""
        if before.seconds:
            self._seconds, self._first_frames, self._first_seconds = before.seconds, 0, 0.0
        self.episodes.start_from(before.episodes)
        for policy, episodes in zip(self.policies, before.of_policies, strict=False):
            policy.episodes.start_from(episodes)

    def resume_clock(self) -> None:
        """Training time runs from now on, or goes on."""
        self._seconds, self._since = self.seconds, time.monotonic()
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
            self._take_episodes(values["episodes"])
            self._waiting[sender] = min(float(values["waited_s"]) / elapsed, 1.0)
        elif kind == "inference":
            self._busy["inference"][sender] = min(float(values["busy_s"]) / elapsed, 1.0)
        elif kind == "evaluation":
            self.evaluation = {key: float(value) for key, value in values.items()}
        elif kind == "learning":
            self._busy["learner"][sender] = min(float(values["busy_s"]) / elapsed, 1.0)
            self.slots_full = int(values["slots_full"])
            self.policies[values["policy"]].take(values)

    def _take_episodes(self, message: Mapping[str, Any]) -> None:
        returns, lengths, metrics = message["returns"], message["lengths"], message["metrics"]
        if not self._plan.shape.has_owners:
            self.episodes.add_many(returns, lengths, metrics, message["count"])
            return
        players, counts = message["players"], message["counts"]
        learning = players < len(self.policies)
        self.episodes.add_many(returns[learning], lengths[learning], metrics, int(counts[: len(self.policies)].sum()))
        for number, policy in enumerate(self.policies):
            mine = players == number
            policy.episodes.add_many(returns[mine], lengths[mine], None, int(counts[number]))

    def snapshot(self, counts: Callable[[int | None], Mapping[str, int]], target: int, seconds: float) -> Snapshot:
        """The present moment. `counts` are those of the engine; `target` and `seconds` are where training stops (0:
        nowhere)."""
        waiting = list(self._waiting.values())
        now, total = self.seconds, counts(None)
        frames, inference = total["trained"], self._busy["inference"].values()
        elapsed = now - self._first_seconds
        policies = [policy.snapshot(counts(number)) for number, policy in enumerate(self.policies)]
        return Snapshot(
            seconds=now,
            frames=frames,
            frames_sampled=total["sampled"],
            target_frames=target,
            target_seconds=seconds,
            fps=self._fps.update(max(frames, self._first_frames), now),
            fps_total=(frames - self._first_frames) / elapsed if elapsed > 0 else 0.0,
            policy_lag_mean=fmean(policy.policy_lag_mean for policy in policies),
            policy_lag_max=max(policy.policy_lag_max for policy in policies),
            versions=total["optimiser_steps"],
            slots_full=self.slots_full,
            slots_total=self._plan.shape.num_slots,
            learner_busy=max(self._busy["learner"].values(), default=0.0),
            sampler_waiting=fmean(waiting) if waiting else 0.0,
            inference_busy=max(inference, default=0.0) if self._plan.inference == "central" else None,
            cores_busy=self.usage.cores_busy,
            cores_taken=self.usage.cores_taken,
            efficiency=self.usage.efficiency if self._plan.device == "cpu" else None,
            inference="central" if self._plan.inference == "central" else "local",
            dropped_frames=_dropped(total),
            losses=_mean_losses([policy.losses for policy in policies]),
            policies=tuple(policies),
            evaluation=self.evaluation,
        )


def _dropped(counts: Mapping[str, int]) -> dict[str, int]:
    return {"lag": counts["dropped_lag"], "epoch": counts["dropped_epoch"]}


def _mean_losses(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over the policies that have reported."""
    known = [losses for losses in each if losses]
    return {key: fmean(losses[key] for losses in known) for key in (known[0] if known else ())}
