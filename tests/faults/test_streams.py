"""Standard streams that nobody reads, that are full, or that are not there: no reason to lose a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from run_support import RUN, environment

from arl_core.learning.checkpoint import checkpoints, load_file

SHORT = ("-m", "arl_core", "run", "--env", "py:tiny_envs:Bandit", *RUN, "--train_for_env_steps", "500")


@pytest.mark.parametrize(
    ("words", "streams", "said"),
    [
        ("--serial", "| true", "progress cannot be shown any more, training goes on: [Errno 32] Broken pipe\n"),
        ("", "<&- >&- 2>&-", ""),  # the next three files that are opened would be standard streams
    ],
)
def test_a_run_is_trained_and_saved_all_the_same(words: str, streams: str, said: str, tmp_path: Path) -> None:
    command = f"{sys.executable} {' '.join(SHORT)} {words} {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
    summary = json.loads((tmp_path / "runs/r/summary.json").read_text())
    assert summary["status"] == "success"
    newest = checkpoints(tmp_path / "runs/r/checkpoints/p0")[0]
    assert load_file(newest)["learner"]["frames"] == summary["frames"] >= 500
