import pytest

from arl_core.monitoring.bottleneck import bottleneck

# learner_busy, sampler_waiting, inference_busy, other changes -> the part that is named
CASES = [
    (0.95, 0.30, None, {}, "learner"),
    (0.95, 0.30, 0.99, {}, "learner"),
    (0.95, 0.02, None, {}, "balanced"),
    (0.40, 0.02, None, {}, "balanced"),
    (0.40, 0.02, None, {"efficiency": 0.5}, "environments: more envs per worker"),
    (0.40, 0.02, None, {"efficiency": 0.5, "cores_busy": 0.5}, "environments: add workers"),
    (0.40, 0.02, None, {"efficiency": None, "cores_busy": None}, "environments: more envs per worker"),
    (0.40, 0.02, 0.50, {}, "balanced"),
    (0.40, 0.30, None, {}, "slots"),
    (0.40, 0.30, None, {"efficiency": 0.9, "cores_busy": 0.5}, "slots"),
    (0.40, 0.30, None, {"efficiency": 0.5, "cores_busy": 1.0}, "slots"),
    (0.40, 0.30, None, {"efficiency": 0.9, "cores_busy": 1.0}, "balanced: the cores are at work"),
    (0.40, 0.30, 0.50, {"efficiency": 0.9, "cores_busy": 1.0}, "balanced: the cores are at work"),
    (0.40, 0.30, 0.95, {}, "inference"),
    (0.40, 0.30, 0.50, {}, "latency"),
    (0.95, 0.30, None, {"cores_taken": 0.1}, "learner"),
    (0.95, 0.30, None, {"cores_taken": 0.4}, "machine: others use 40% of the cores"),
    (0.40, 0.02, None, {"efficiency": 0.4, "cores_busy": 0.5, "cores_taken": 0.5}, "machine"),
    (0.95, 0.30, None, {"fps": 0.0}, "starting"),
    (0.00, 0.00, None, {"frames_sampled": 0}, "starting"),
    (0.95, 0.30, None, {"frames_sampled": 1000, "dropped_frames": {"lag": 60}}, "lag"),
    (0.95, 0.30, None, {"frames_sampled": 1000, "dropped_frames": {"epoch": 60}}, "learner"),
    (0.95, 0.30, None, {"frames_sampled": 1000, "dropped_frames": {"lag": 50}}, "learner"),
]


@pytest.mark.parametrize(("learner", "waiting", "inference", "changes", "part"), CASES)
def test_part_that_sets_the_pace(make_snapshot, learner, waiting, inference, changes, part):
    snapshot = make_snapshot(learner_busy=learner, sampler_waiting=waiting, inference_busy=inference, **changes)
    sentence = bottleneck(snapshot)
    assert sentence.startswith(part if ": " in part else f"{part}: ")
    assert len(sentence) <= 40, "does not fit into the live view of a terminal with 60 columns"


def test_share_of_dropped_frames_is_named(make_snapshot):
    assert "12% dropped" in bottleneck(make_snapshot(frames_sampled=1000, dropped_frames={"lag": 120}))
