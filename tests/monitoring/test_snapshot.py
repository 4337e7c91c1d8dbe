import pytest


@pytest.mark.parametrize(
    ("changes", "progress", "left"),
    [
        ({"frames": 250, "target_frames": 1000, "fps": 50.0}, 0.25, 15.0),
        ({"frames": 2000, "target_frames": 1000, "fps": 50.0}, 1.0, 0.0),
        ({"frames": 250, "target_frames": 1000, "fps": 0.0}, 0.25, None),
        ({"target_frames": 0, "target_seconds": 40.0, "seconds": 10.0}, 0.25, 30.0),
        ({"frames": 500, "target_frames": 1000, "fps": 1.0, "target_seconds": 40.0, "seconds": 10.0}, 0.5, 30.0),
        ({"target_frames": 0}, None, None),
    ],
)
def test_progress_and_time_left_follow_the_nearest_target(make_snapshot, changes, progress, left):
    snapshot = make_snapshot(**changes)
    assert snapshot.progress == progress
    assert snapshot.seconds_left == left
