"""What the trainer knows about a run at one moment, as every view and log reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PolicySnapshot:
    """One policy of a run at that moment."""

    frames: int  # trained, of the whole run (before a resume too)
    versions: int  # optimiser steps of the whole run
    episodes: int  # ended, of the whole run
    return_mean: float | None  # over the last `stats_window` episodes that it played
    length_mean: float | None
    policy_lag_mean: float  # optimiser steps
    policy_lag_max: float  # optimiser steps
    dropped_frames: Mapping[str, int]  # by reason: lag, epoch
    losses: Mapping[str, float]  # its learner's latest metrics


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of a run's training; of several policies, what is counted is their sum, and what is measured their mean.
    Frames are environment transitions; fractions lie in 0..1.

    No field has a default: a number that nobody measured must not be shown as zero.
    """

    seconds: float  # of training in this process, pauses excluded
    frames: int  # trained, of the whole run (before a resume too)
    frames_sampled: int  # of the whole run
    target_frames: int  # 0: none
    target_seconds: float  # 0: none
    fps: float  # trained frames a second, over the last ten seconds or so
    fps_total: float  # trained frames a second, over all of `seconds`, or since a checkpoint was loaded
    policy_lag_mean: float  # optimiser steps
    policy_lag_max: float  # optimiser steps
    versions: int  # optimiser steps of the whole run
    slots_full: int  # rollout slots that wait for the learner
    slots_total: int
    learner_busy: float
    sampler_waiting: float  # part of the rollout workers' time without a free slot or without an answer
    inference_busy: float | None  # None: local inference
    cores_busy: float | None  # part of all cores' time that the run's processes take; None: not known yet
    cores_taken: float | None  # part of it that others had while a process of the run was ready to run; None: not known yet
    efficiency: float | None  # the part of it that goes into environments, network and training; None on a GPU too
    inference: Literal["local", "central"]
    dropped_frames: Mapping[str, int]  # by reason: lag, epoch
    losses: Mapping[str, float]  # the learner's latest metrics: policy_loss, value_loss, entropy, kl, learning_rate, ...
    policies: tuple[PolicySnapshot, ...]  # every policy by itself
    evaluation: Mapping[str, float]  # the last one during training: return_mean, ..., the frames it is of; empty before it

    @property
    def progress(self) -> float | None:
        """How much of the nearest target is done, 0..1; None without a target."""
        done = []
        if self.target_frames > 0:
            done.append(self.frames / self.target_frames)
        if self.target_seconds > 0:
            done.append(self.seconds / self.target_seconds)
        return min(max(done), 1.0) if done else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the nearest target at the present rate; None without a target, or while no frame is trained."""
        left = []
        if self.target_frames > 0 and self.fps > 0:
            left.append(max(self.target_frames - self.frames, 0) / self.fps)
        if self.target_seconds > 0:
            left.append(max(self.target_seconds - self.seconds, 0.0))
        return min(left) if left else None
