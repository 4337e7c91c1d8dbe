"""TensorBoard events. The step axis is trained frames."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import PolicySnapshot, Snapshot

INTERVAL_S = 2.0  # between events

_log = logging.getLogger("arl")
_file_numbers = itertools.count()


def scalars(snapshot: Snapshot, episodes: EpisodeStatistics) -> dict[str, float]:
    """Tag to value. What is not known yet has no entry; what the learner calls `..._loss` goes under `losses/`."""
    values: dict[str, float | None] = {
        "returns/mean": episodes.return_mean,
        "returns/std": episodes.return_std,
        "returns/best_mean": episodes.best_return_mean,
        "episodes/length": episodes.length_mean,
        "episodes/total": episodes.total,
        "perf/fps": snapshot.fps,
        "perf/fps_total": snapshot.fps_total,
        "perf/policy_lag_mean": snapshot.policy_lag_mean,
        "perf/policy_lag_max": snapshot.policy_lag_max,
        "perf/slots_full": snapshot.slots_full,
        "perf/slots_full_fraction": snapshot.slots_full / snapshot.slots_total if snapshot.slots_total else None,
        "perf/learner_busy": snapshot.learner_busy,
        "perf/efficiency": snapshot.efficiency,
        "perf/sampler_waiting": snapshot.sampler_waiting,
        "perf/inference_busy": snapshot.inference_busy,
        "frames/sampled": snapshot.frames_sampled,
        "frames/optimizer_steps": snapshot.versions,
        "frames/seconds": snapshot.seconds,
    }
    values |= {f"frames/dropped_{reason}": count for reason, count in snapshot.dropped_frames.items()}
    values |= {f"{'losses' if key.endswith('loss') else 'learner'}/{key}": v for key, v in snapshot.losses.items()}
    values |= {f"eval/{key}": value for key, value in snapshot.evaluation.items()}
    values |= {f"env/{key}": mean for key, mean in episodes.metric_means.items()}
    if len(snapshot.policies) > 1:
        for number, policy in enumerate(snapshot.policies):
            values |= {f"policy_{number}/{tag}": value for tag, value in _of_policy(policy).items()}
    return {tag: float(value) for tag, value in values.items() if value is not None}


def _of_policy(policy: PolicySnapshot) -> dict[str, float | None]:
    return {
        "return_mean": policy.return_mean,
        "length_mean": policy.length_mean,
        "frames": policy.frames,
        "policy_lag_mean": policy.policy_lag_mean,
        "policy_lag_max": policy.policy_lag_max,
        **policy.losses,
    }


class TensorBoardWriter:
    """Writes one event with all scalars, at most every `interval_s` seconds; the last one is never lost.

    It uses tensorboardX's records without its queue: that one is emptied by a thread, and blocks its producer for ever
    once a full disk has killed the thread. Here a failing disk is a warning, and training goes on without events. The
    file is flushed (with fsync) every `flush_s` seconds and at the end.

    `resume_frame`: what an earlier process wrote for this frame and later ones (which the resumed run will train again)
    is hidden. Raises OSError where the file cannot be made.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        resume_frame: int | None = None,
        interval_s: float = INTERVAL_S,
        flush_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Imported here because it imports torch and costs a second and more.
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import RecordWriter

        self._events, self._summaries = event_pb2, summary_pb2
        self._interval_s, self._flush_s, self._clock = interval_s, flush_s, clock
        self._written_at, self._flushed_at = -math.inf, clock()
        self._pending: tuple[Snapshot, EpisodeStatistics] | None = None
        os.makedirs(log_dir, exist_ok=True)
        # The name that TensorBoard looks for, and one that a second writer in the same second does not overwrite.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_file_numbers)}"
        self._file: Any = RecordWriter(os.path.join(log_dir, name))
        self._put(file_version="brain.Event:2")
        if resume_frame is not None:
            self._put(step=resume_frame, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> None:
        """Write every scalar, or keep it for `close` where the last event is too recent."""
        self._pending = (snapshot, episodes)
        if self._clock() - self._written_at >= self._interval_s:
            self._write_pending()

    def close(self) -> None:
        """Write what was kept, flush, close. Idempotent."""
        self._write_pending()
        self._guard(lambda file: file.flush())
        self._guard(lambda file: file.close())
        self._file = None

    def _write_pending(self) -> None:
        if self._pending is None:
            return
        snapshot, episodes = self._pending
        self._pending = None
        self._written_at = self._clock()
        value = self._summaries.Summary.Value
        values = [value(tag=tag, simple_value=scalar) for tag, scalar in scalars(snapshot, episodes).items()]
        self._put(step=snapshot.frames, summary=self._summaries.Summary(value=values))

    def _put(self, **fields: Any) -> None:
        record = self._events.Event(wall_time=time.time(), **fields).SerializeToString()
        self._guard(lambda file: file.write(record))
        if self._clock() - self._flushed_at >= self._flush_s:
            self._flushed_at = self._clock()
            self._guard(lambda file: file.flush())

    def _guard(self, action: Callable[[Any], object]) -> None:
        """Do it with the file, if there is one. After a failure there is none: a torn record hides what follows."""
        if self._file is None:
            return
        try:
            action(self._file)
        except OSError as error:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # what it still holds cannot be written either
                file.close()
            _log.warning("TensorBoard events cannot be written any more, training goes on: %s", error)
