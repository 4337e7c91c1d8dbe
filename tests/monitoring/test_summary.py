import json
import os
from pathlib import Path

import numpy as np
import pytest

import arl_core
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.summary import summary_dict, write_json_atomic


def test_json_is_read_back(tmp_path):
    path = tmp_path / "summary.json"
    write_json_atomic(path, {"a": [1, 2.5, None, True, "ä"], 3: (np.float32(0.5), np.int64(7)), "p": Path("x")})
    assert json.loads(path.read_text()) == {"a": [1, 2.5, None, True, "ä"], "3": [0.5, 7], "p": "x"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), np.float64("inf")])
def test_what_json_does_not_have_becomes_null(tmp_path, value):
    write_json_atomic(tmp_path / "x.json", {"value": value})
    assert json.loads((tmp_path / "x.json").read_text()) == {"value": None}


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    write_json_atomic(path, 1)
    with pytest.raises(TypeError, match="JSON cannot hold set"):
        write_json_atomic(path, {"value": {1, 2}})
    assert path.read_text() == "1\n"
    assert os.listdir(tmp_path) == ["x.json"]


def test_failed_rename_removes_the_temporary_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_json_atomic(tmp_path / "folder", 1)
    assert os.listdir(tmp_path) == ["folder"]


def test_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "x.json"
    write_json_atomic(path, {"old": "x" * 1000})
    with open(path, encoding="utf-8") as reader:
        write_json_atomic(path, {"new": 1})
        assert json.load(reader) == {"old": "x" * 1000}
    assert json.loads(path.read_text()) == {"new": 1}


def test_summary_says_what_the_run_came_to(make_snapshot, episodes):
    summary = summary_dict("finished", make_snapshot(), episodes, {"seed": 7})
    assert summary["status"] == "finished"
    assert summary["version"] == arl_core.__version__
    assert (summary["frames"], summary["seconds"], summary["fps"]) == (421_888, 11.3, 40_111.0)
    assert (summary["episodes"], summary["return_mean"], summary["length_mean"]) == (3, 2.0, 30.0)
    assert summary["return_std"] == pytest.approx(0.8165, abs=1e-4)
    assert (summary["policy_lag_mean"], summary["policy_lag_max"]) == (1.25, 4.0)
    (policy,) = summary["policies"]
    assert (policy["frames"], policy["return_mean"], policy["policy_lag_mean"]) == (421_888, 2.0, 1.25)
    assert summary["env_metrics"] == {"success": 0.5}
    assert summary["seed"] == 7


def test_summary_of_a_run_without_episodes_is_json(make_snapshot, tmp_path):
    write_json_atomic(tmp_path / "s.json", summary_dict("stopped", make_snapshot(), EpisodeStatistics(3)))
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["return_mean"], summary["env_metrics"]) == (None, {})
