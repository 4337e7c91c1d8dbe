"""The run's result as JSON, written so that a reader never sees half of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from arl_core._version import __version__
from arl_core.files import write_atomic
from arl_core.interfaces import JSON
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import PolicySnapshot, Snapshot


def write_json_atomic(path: str | os.PathLike[str], obj: Any) -> None:
    """Write `obj` as JSON under `path`, as `files.write_atomic`.

    NaN and infinities, which JSON does not have, become null; NumPy scalars become numbers. Raises TypeError for what
    JSON cannot hold; the old file then stays as it was.
    """
    write_atomic(path, json.dumps(_jsonable(obj), indent=2, allow_nan=False) + "\n")


def _jsonable(value: object) -> JSON:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return _jsonable(value.item())
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    raise TypeError(f"JSON cannot hold {type(value).__name__}: {value!r}")


def summary_dict(
    status: str, snapshot: Snapshot, episodes: EpisodeStatistics, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a run came to. `fps` is the mean over `seconds`, or since a checkpoint was loaded; entries of `extra` are added, or
    replace what is here."""
    return {
        "status": status,
        "version": __version__,
        "frames": snapshot.frames,
        "frames_sampled": snapshot.frames_sampled,
        "dropped_frames": dict(snapshot.dropped_frames),
        "seconds": snapshot.seconds,
        "fps": snapshot.fps_total,
        "optimizer_steps": snapshot.versions,
        "inference": snapshot.inference,
        "episodes": episodes.total,
        "return_mean": episodes.return_mean,
        "return_std": episodes.return_std,
        "best_return_mean": episodes.best_return_mean,
        "length_mean": episodes.length_mean,
        "policy_lag_mean": snapshot.policy_lag_mean,
        "policy_lag_max": snapshot.policy_lag_max,
        "policies": [_policy_dict(policy) for policy in snapshot.policies],
        "env_metrics": episodes.metric_means,
        "losses": dict(snapshot.losses),
        "evaluation": dict(snapshot.evaluation),
        **(extra or {}),
    }


def _policy_dict(policy: PolicySnapshot) -> dict[str, Any]:
    values = asdict(policy)
    del values["losses"]
    return {"optimizer_steps": values.pop("versions"), **values}
