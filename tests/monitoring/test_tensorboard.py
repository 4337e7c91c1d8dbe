import io
import logging
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.tensorboard import TensorBoardWriter, scalars


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def read_events(folder: Path) -> list[Any]:
    """All events: little-endian uint64 length, 4 bytes checksum, the event, 4 bytes checksum."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        position = 0
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            events.append(Event.FromString(data[position + 12 : position + 12 + length]))
            position += 16 + length
        assert position == len(data), "torn record"
    return events


def read_scalars(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in read_events(folder)
        if event.summary.value
    ]


def test_everything_a_run_measures_is_written_over_frames(tmp_path, make_snapshot, episodes):
    writer = TensorBoardWriter(tmp_path)
    writer.write(make_snapshot(inference="central", inference_busy=0.5), episodes)
    writer.close()
    [(step, scalars)] = read_scalars(tmp_path)
    assert step == 421_888
    expected = {
        "returns/mean": 2.0,
        "returns/std": 0.8165,
        "returns/best_mean": 2.0,
        "episodes/length": 30.0,
        "episodes/total": 3.0,
        "losses/policy_loss": -0.0125,
        "losses/value_loss": 0.5,
        "learner/entropy": 1.25,
        "learner/explained_variance": 0.75,
        "learner/kl": 0.001,
        "learner/clip_fraction": 0.0625,
        "learner/grad_norm": 2.5,
        "learner/learning_rate": 3e-4,
        "perf/fps": 41_233.0,
        "perf/fps_total": 40_111.0,
        "perf/policy_lag_mean": 1.25,
        "perf/policy_lag_max": 4.0,
        "perf/slots_full": 3.0,
        "perf/slots_full_fraction": 3 / 32,
        "perf/learner_busy": 0.93,
        "perf/efficiency": 0.74,
        "perf/sampler_waiting": 0.21,
        "perf/inference_busy": 0.5,
        "frames/sampled": 430_080.0,
        "frames/optimizer_steps": 412.0,
        "frames/seconds": 11.3,
        "frames/dropped_lag": 32.0,
        "frames/dropped_epoch": 0.0,
        "env/success": 0.5,
    }
    assert scalars == {tag: pytest.approx(value, rel=1e-4) for tag, value in expected.items()}


def test_what_is_not_known_has_no_tag(tmp_path, make_snapshot):
    writer = TensorBoardWriter(tmp_path)
    writer.write(make_snapshot(frames=0, slots_total=0, losses={}), EpisodeStatistics(3))
    writer.close()
    [(_, scalars)] = read_scalars(tmp_path)
    assert "returns/mean" not in scalars
    assert "perf/inference_busy" not in scalars
    assert "perf/slots_full_fraction" not in scalars
    assert scalars["episodes/total"] == 0.0


def test_events_are_spaced_and_the_last_one_is_not_lost(tmp_path, make_snapshot, episodes):
    clock = Clock()
    writer = TensorBoardWriter(tmp_path, interval_s=2.0, clock=clock)
    for tick in range(18):  # four a second
        clock.now = tick / 4
        writer.write(make_snapshot(frames=tick), episodes)
    writer.close()
    writer.close()
    assert [step for step, _ in read_scalars(tmp_path)] == [0, 8, 16, 17]


def test_flush_is_bounded_in_time(tmp_path, make_snapshot, episodes):
    clock = Clock()
    writer = TensorBoardWriter(tmp_path, interval_s=1.0, flush_s=10.0, clock=clock)
    [path] = tmp_path.iterdir()
    writer.write(make_snapshot(frames=1), episodes)
    assert path.stat().st_size == 0
    clock.now = 10.0
    writer.write(make_snapshot(frames=2), episodes)
    assert [step for step, _ in read_scalars(tmp_path)] == [1, 2]
    writer.close()


def test_resumed_run_hides_frames_that_are_trained_again(tmp_path):
    from tensorboardX.proto.event_pb2 import SessionLog

    TensorBoardWriter(tmp_path, resume_frame=500).close()
    version, start = read_events(tmp_path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (500, SessionLog.START)


def test_writers_in_one_second_do_not_overwrite_each_other(tmp_path, make_snapshot, episodes):
    for frame in (1, 2, 3):
        writer = TensorBoardWriter(tmp_path)
        writer.write(make_snapshot(frames=frame), episodes)
        writer.close()
    assert sorted(step for step, _ in read_scalars(tmp_path)) == [1, 2, 3]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_a_warning_and_training_goes_on(tmp_path, make_snapshot, episodes, caplog, monkeypatch):
    from tensorboardX import record_writer

    monkeypatch.setattr(record_writer, "open_file", lambda path: io.FileIO("/dev/full", "wb"))
    writer = TensorBoardWriter(tmp_path, interval_s=0.0, flush_s=0.0)
    with caplog.at_level(logging.WARNING, "arl"):
        for frame in range(5):
            writer.write(make_snapshot(frames=frame), episodes)
        writer.close()
    assert [record.getMessage() for record in caplog.records] == [
        "TensorBoard events cannot be written any more, training goes on: [Errno 28] No space left on device"
    ]


def test_module_is_cheap_until_a_writer_is_made():
    code = "import sys, arl_core.monitoring.tensorboard; sys.exit('torch' in sys.modules or 'tensorboardX' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_policy_of_several_has_tags_of_its_own(make_snapshot: Any) -> None:
    (one,) = make_snapshot().policies
    assert not [tag for tag in scalars(make_snapshot(), EpisodeStatistics(3)) if tag.startswith("policy_")]
    both = make_snapshot(policies=(one, replace(one, frames=7, return_mean=None, losses={"kl": 0.5})))
    tags = scalars(both, EpisodeStatistics(3))
    assert (tags["policy_0/frames"], tags["policy_0/return_mean"]) == (421_888, 2.0)
    assert (tags["policy_1/frames"], tags["policy_1/kl"]) == (7, 0.5)
    assert "policy_1/return_mean" not in tags
