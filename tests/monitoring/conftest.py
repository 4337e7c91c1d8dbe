import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import PolicySnapshot, Snapshot

sys.path.insert(0, str(Path(__file__).parent))  # the tests of this folder import what they share


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """A healthy run in the middle; keywords change it."""

    def make(**changes: Any) -> Snapshot:
        values: dict[str, Any] = {
            "seconds": 11.3,
            "frames": 421_888,
            "frames_sampled": 430_080,
            "target_frames": 1_000_000,
            "target_seconds": 0.0,
            "fps": 41_233.0,
            "fps_total": 40_111.0,
            "policy_lag_mean": 1.25,
            "policy_lag_max": 4.0,
            "versions": 412,
            "slots_full": 3,
            "slots_total": 32,
            "learner_busy": 0.93,
            "sampler_waiting": 0.21,
            "inference_busy": None,
            "cores_busy": None,
            "cores_taken": None,
            "efficiency": 0.74,
            "inference": "local",
            "dropped_frames": {"lag": 32, "epoch": 0},
            "losses": {
                "policy_loss": -0.0125,
                "value_loss": 0.5,
                "entropy": 1.25,
                "kl": 0.001,
                "clip_fraction": 0.0625,
                "explained_variance": 0.75,
                "grad_norm": 2.5,
                "learning_rate": 3e-4,
            },
            "evaluation": {},
        }
        values |= changes
        of_policy = {field.name: values[field.name] for field in fields(PolicySnapshot) if field.name in values}
        values.setdefault("policies", (PolicySnapshot(**of_policy, episodes=3, return_mean=2.0, length_mean=4.0),))
        return Snapshot(**values)

    return make


@pytest.fixture
def episodes() -> EpisodeStatistics:
    statistics = EpisodeStatistics(3)
    statistics.add_many([1.0, 2.0, 3.0], [10, 20, 60], {"success": np.array([0.0, 1.0, 0.5])})
    return statistics
