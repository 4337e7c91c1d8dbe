"""Which part of the machine sets the pace, and what would help."""

from __future__ import annotations

from arl_core.monitoring.snapshot import Snapshot

SATURATED = 0.9  # a part busier than this sets the pace
WAITING = 0.1  # workers that wait less than this are not held up
MUCH_DROPPED = 0.05  # of the sampled frames


def bottleneck(snapshot: Snapshot) -> str:
    """One short line, `"<part>: <what helps>"`, where the part is one of starting, lag, learner, inference,
    environments, latency, slots, balanced."""
    if snapshot.frames_sampled == 0 or snapshot.fps <= 0:
        return "starting: no frame trained yet"
    dropped = snapshot.dropped_frames.get("lag", 0) / snapshot.frames_sampled
    if dropped > MUCH_DROPPED:
        return f"lag: {dropped:.0%} dropped; lower slots_per_group"
    held_up = snapshot.sampler_waiting >= WAITING
    learner_full = snapshot.learner_busy > SATURATED
    if learner_full:
        if held_up:
            return "learner: bigger batch_size, fewer ppo_epochs"
        return "balanced: learner and environments both busy"
    if not held_up:
        return "environments: add workers or envs per worker"
    if snapshot.inference_busy is None:
        return "slots: learner idles; raise slots_per_group"
    if snapshot.inference_busy > SATURATED:
        return "inference: more policy workers, smaller model"
    return "latency: worker_num_splits=2 or more envs"
