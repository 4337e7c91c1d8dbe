"""Standard streams that nobody reads, that are full, or that are not there: no reason to lose a run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from run_support import RUN, environment
from screen import Screen

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


def test_what_environments_print_is_shown_above_the_panel(tmp_path: Path) -> None:
    """On a terminal both would write over each other."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))  # Python 3.10 has no termios.tcsetwinsize
    command = [sys.executable, "-m", "arl_core", "run", "--env", "py:tiny_envs:Warns", *RUN, "--train_for_env_steps", "1500"]
    variables = environment(TERM="xterm")
    variables.pop("CI", None)
    run = subprocess.Popen(command, cwd=tmp_path, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the last writer has left
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert run.wait(30) == 0
    screen = Screen(100)
    screen.write(said.decode())
    visible = screen.visible()
    lines = [line for n in range(200, 1600, 200) for line in (f"step {n}", f"joint {n} is out of range")]
    assert visible[: len(lines)] == lines
    assert "local inference" in said.decode()  # there was a panel
    assert "local inference" not in "".join(visible)
