"""Signals to `arl run`: once it saves and says how to go on, twice it ends, and -9 leaves nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from run_support import RUN, alive, arl, descendants, environment, eventually, start_arl

from arl_core.learning.checkpoint import checkpoints, load_file

ENDLESS = ("run", "--env", "py:tiny_envs:Bandit", *RUN, "--train_for_env_steps", "1000000000")
RESUME = ("run", "--resume", "--env", "py:tiny_envs:Bandit", "--train_dir", "runs", "--experiment", "r")


def processes(run: subprocess.Popen[str], name: str = "") -> list[psutil.Process]:
    """The processes of a run, of one name."""
    return [process for process in descendants(run.pid) if name_of(process).startswith(name)]


def name_of(process: psutil.Process) -> str:
    """A process's name, "" when it has ended."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def under_way(folder: Path, run: subprocess.Popen[str]) -> bool:
    """Wait until a run trains: with its first periodic checkpoint of weights that have learnt."""

    def learnt() -> bool:  # a machine that is busy needs `save_every_sec` for the first round, before the first batch
        return any(not path.name.startswith("checkpoint_000000000_") for path in checkpoints(folder / "runs/r/checkpoints/p0"))

    assert eventually(lambda: run.poll() is not None or learnt(), 30.0)
    assert run.poll() is None, run.communicate()
    return True


@pytest.mark.parametrize(
    ("number", "code", "times"),
    [
        (signal.SIGINT, 130, 1),
        (signal.SIGTERM, 143, 1),
        (signal.SIGHUP, 129, 2),  # a terminal that is closed: its shell and the kernel send one each
    ],
)
def test_once_saves_and_says_how_to_go_on(number: signal.Signals, code: int, times: int, tmp_path: Path) -> None:
    run = start_arl(*ENDLESS, "--save_every_sec", "0.1", cwd=tmp_path)
    under_way(tmp_path, run)
    below = processes(run)
    assert len(below) >= 3
    for _ in range(times):
        run.send_signal(number)
    out, err = run.communicate(timeout=15)
    assert run.returncode == code, (out, err)
    assert "Traceback" not in out + err
    assert "arl run --resume --experiment r --train-dir runs" in out + err
    summary = json.loads((tmp_path / "runs" / "r" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    newest = checkpoints(tmp_path / "runs" / "r" / "checkpoints" / "p0")[0]
    assert load_file(newest)["learner"]["frames"] == summary["frames"] > 0
    assert not any(alive(process) for process in below)


def test_nohup_is_respected(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-m", "arl_core", *ENDLESS, "--serial", "--save_every_sec", "0.1"]
    run = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    under_way(tmp_path, run)
    run.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    run.terminate()
    out, err = run.communicate(timeout=15)
    assert run.returncode == 143, (out, err)


@pytest.mark.parametrize("serial", [False, True])
def test_ctrl_c_saves_a_run_in_another_thread_too(serial: bool, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        f"""
import signal, threading
from run_support import small
from tiny_envs import Bandit
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the test was started with
model = small(Bandit, serial={serial}, train_dir="runs", experiment="r", save_every_sec=0.1)
thread = threading.Thread(target=model.train, args=(10**9,))
thread.start()
thread.join()
"""
    )
    run = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    under_way(tmp_path, run)
    below = processes(run)
    assert eventually(lambda: run.poll() is not None or run.send_signal(signal.SIGINT) or time.sleep(4.0))
    _, err = run.communicate(timeout=10)
    assert "the program ends: finishing" in err
    summary = json.loads((tmp_path / "runs" / "r" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    newest = checkpoints(tmp_path / "runs" / "r" / "checkpoints" / "p0")[0]
    assert load_file(newest)["learner"]["frames"] == summary["frames"] > 0
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)


@pytest.mark.parametrize("serial", [False, True])
def test_sigterm_saves_a_run_in_another_thread_with_a_handler_as_documented(serial: bool, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    handler, callback = (re.search(f"`({re.escape(begin)}.*)`", page) for begin in ("signal.signal(", "lambda _: not ended"))
    assert handler
    assert callback
    (tmp_path / "program.py").write_text(
        f"""
import signal, threading
from run_support import small
from tiny_envs import Bandit
ended = threading.Event()
{handler[1]}
model = small(Bandit, serial={serial}, train_dir="runs", experiment="r", save_every_sec=0.1)
thread = threading.Thread(target=model.train, args=(10**9, {callback[1]}))
thread.start()
thread.join()
"""
    )
    run = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    under_way(tmp_path, run)
    below = processes(run)
    run.terminate()
    _, err = run.communicate(timeout=15)
    assert run.returncode == 0, err
    summary = json.loads((tmp_path / "runs" / "r" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    newest = checkpoints(tmp_path / "runs" / "r" / "checkpoints" / "p0")[0]
    assert load_file(newest)["learner"]["frames"] == summary["frames"] > 0
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)


@pytest.mark.parametrize("inference", ["local", "central"])
def test_a_schedulers_signal_to_every_process_is_one_signal(inference: str, tmp_path: Path) -> None:
    run = start_arl(*ENDLESS, "--save_every_sec", "0.1", "--inference", inference, cwd=tmp_path)
    under_way(tmp_path, run)
    for process in (*processes(run), psutil.Process(run.pid)):
        process.terminate()
    out, err = run.communicate(timeout=15)
    assert run.returncode == 143, (out, err)
    assert "interrupted after" in out + err
    assert "restarting" not in out + err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_twice_ends_at_once_even_if_an_environment_hangs(number: signal.Signals, code: int, tmp_path: Path) -> None:
    hanging = ("run", "--env", "py:tiny_envs:faulty", *RUN, "--train_for_env_steps", "1000000000")
    run = start_arl(*hanging, cwd=tmp_path, TINY_FAULT=f"hang,step,50,{tmp_path / 'hangs'}")
    assert eventually((tmp_path / "hangs").exists, 30.0)
    run.send_signal(number)
    time.sleep(1.0)
    assert run.poll() is None  # it waits for the environment
    below = processes(run)
    run.send_signal(number)
    out, err = run.communicate(timeout=10)
    assert run.returncode == code, (out, err)
    assert "ended at once; nothing was saved yet" in out + err
    assert "Traceback" not in out + err
    assert not any(alive(process) for process in below)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.6, 1.8])
def test_during_start_up(after_s: float, tmp_path: Path) -> None:
    run = start_arl(*ENDLESS, cwd=tmp_path)
    time.sleep(after_s)
    below = processes(run)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 130, (out, err)
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)


def test_killed_leaves_nothing_and_goes_on_from_an_intact_checkpoint(
    tmp_path: Path, shared_names: Callable[[], set[str]]
) -> None:
    before = shared_names()
    run = start_arl(*ENDLESS, "--save_every_sec", "0.1", cwd=tmp_path)
    under_way(tmp_path, run)
    run_dir = tmp_path / "runs" / "r"
    # a second run in the same directory is told whose it is
    second = arl(*ENDLESS, cwd=tmp_path)
    assert second.returncode == 2
    assert f"process {run.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert run.poll() is None
    assert eventually(lambda: len(checkpoints(run_dir / "checkpoints" / "p0")) >= 3)
    below = processes(run)
    run.kill()
    run.wait()
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)
    run.communicate()
    assert eventually(lambda: shared_names() <= before, 5.0), shared_names() - before
    files = checkpoints(run_dir / "checkpoints" / "p0")
    states = [load_file(file) for file in files]  # under final names all are whole
    (run_dir / "checkpoints" / "p0" / ".checkpoint_000000001_1_0123456789abcdef.pt.1.2.tmp").write_bytes(b"half")
    files[0].write_bytes(files[0].read_bytes()[:-100])
    damaged = files[1].read_bytes()
    files[1].write_bytes(damaged[:5000] + bytes([damaged[5000] ^ 1]) + damaged[5001:])
    target = states[2]["learner"]["frames"] + 500
    done = arl(*RESUME, "--train_for_env_steps", str(target), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert files[0].name in said
    assert files[1].name in said
    assert "falling back to the one before" in said
    assert f"resuming from {Path('runs/r/checkpoints/p0') / files[2].name}" in said
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["status"] == "success"
    assert target <= summary["frames"] < target + 64
    assert not list(run_dir.rglob("*.tmp"))
    # with none left intact it is an error, never a start from scratch
    for file in checkpoints(run_dir / "checkpoints" / "p0"):
        file.write_bytes(b"")
    lost = arl(*RESUME, cwd=tmp_path)
    assert lost.returncode == 2
    assert "is intact" in lost.stderr


def test_a_killed_learner_ends_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    run = start_arl(*ENDLESS, "--save_every_sec", "0.1", cwd=tmp_path)
    under_way(tmp_path, run)
    below = processes(run)
    processes(run, "arl-learner")[0].kill()
    out, err = run.communicate(timeout=10)
    assert run.returncode == 1, (out, err)
    assert "learner-0 was ended by signal 9" in out
    assert err.splitlines()[-1].startswith("failed: learner-0")
    assert "--resume" in err
    assert "Traceback" not in err
    assert not any(alive(process) for process in below)
    run_dir = tmp_path / "runs" / "r"
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["status"] == "failure"
    assert "learner-0" in summary["error"]
    frames = load_file(checkpoints(run_dir / "checkpoints" / "p0")[0])["learner"]["frames"]
    done = arl(*RESUME, "--train_for_env_steps", str(frames + 300), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((run_dir / "summary.json").read_text())["frames"] >= frames + 300
