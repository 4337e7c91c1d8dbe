"""Which part of the machine sets the pace, and what would help."""

from __future__ import annotations

from arl_core.monitoring.snapshot import Snapshot

SATURATED = 0.9  # a part busier than this sets the pace
WAITING = 0.1  # workers that wait less than this are not held up
TAKEN = 0.25  # of the cores' time: where others have more, any other advice would be about them
MUCH_DROPPED = 0.05  # of the sampled frames
EFFICIENT = 0.65  # of the cores' time at useful work: above it more environments a worker hardly help
_BALANCED = "balanced: the cores are at work"


def bottleneck(snapshot: Snapshot) -> str:
    """One short line, `"<part>: <what helps>"`, where the part is one of starting, lag, machine, learner, inference,
    environments, latency, slots, balanced."""
    if snapshot.frames_sampled == 0 or snapshot.fps <= 0:
        return "starting: no frame trained yet"
    dropped = snapshot.dropped_frames.get("lag", 0) / snapshot.frames_sampled
    if dropped > MUCH_DROPPED:
        return f"lag: {dropped:.0%} dropped; lower slots_per_group"
    if snapshot.cores_taken is not None and snapshot.cores_taken > TAKEN:
        return f"machine: others use {snapshot.cores_taken:.0%} of the cores"
    held_up = snapshot.sampler_waiting >= WAITING
    if snapshot.learner_busy > SATURATED:
        if held_up:
            return "learner: larger batch_size, fewer epochs"
        return "balanced: learner and environments busy"
    if not held_up:
        return _environments(snapshot)
    if _at_work(snapshot):
        return _BALANCED  # who waits, waits for a core: no setting has one to give
    if snapshot.inference_busy is None:
        return "slots: raise slots_per_group"
    if snapshot.inference_busy > SATURATED:
        return "inference: more policy workers"
    return "latency: worker_num_splits 2, more envs"


def _at_work(snapshot: Snapshot) -> bool:
    """No core is free, and what they do is useful."""
    busy, useful = snapshot.cores_busy, snapshot.efficiency
    return busy is not None and useful is not None and busy >= SATURATED and useful > EFFICIENT


def _environments(snapshot: Snapshot) -> str:
    """The rollout workers never wait: free cores take more of them, busy ones more environments in each."""
    if snapshot.cores_busy is not None and snapshot.cores_busy < SATURATED:
        return "environments: add workers"
    if snapshot.efficiency is not None and snapshot.efficiency > EFFICIENT:
        return _BALANCED
    return "environments: more envs per worker"
