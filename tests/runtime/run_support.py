"""What tests of whole runs share: short configurations, the command line in a process of its own, and who is still alive."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import warm

from arl_core import APPO
from arl_core.cli.main import main
from arl_core.runtime.processes import zygote

MAX_TEST_S = 100  # a test that waits for ever is shown, not waited for
HERE = str(Path(__file__).parent)
SMALL: dict[str, Any] = {  # not the defaults that environments bring
    "rollout": 8,
    "batch_size": 64,
    "num_batches_per_iteration": 1,
    "ppo_epochs": 1,
    "reward_scale": 1.0,
    "learning_rate": 3e-3,
    "seed": 1,
}
_shared: list[APPO] = []


def small(env: Any = "gym:CartPole-v1", workers: Any = 1, envs: Any = 4, **fields: Any) -> APPO:
    """A run of few environments and small batches."""
    return APPO(env=env, num_workers=workers, num_envs_per_worker=envs, policy_kwargs={**SMALL, **fields})


def eventually(condition: Callable[[], Any], timeout_s: float = 15.0) -> bool:
    """Whether `condition` comes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def nursery_pids(model: APPO) -> list[int]:
    """The processes that start a model's processes."""
    engine = model._trainer._engine
    return [] if engine is None else [zygote._process.pid for zygote in engine._nurseries.all]


def pids_of(model: APPO) -> dict[str, int]:
    """Name and process number of every component of a started model, which may be training in another thread."""
    engine: Any = model._trainer._engine
    return {component.name: pid for pid, component in engine._pids.items()}


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """All living processes below this one, but for the tests' own."""
    try:
        return [process for process in psutil.Process(pid).children(recursive=True) if process.pid != warm.server_pid()]
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    """Whether this very process (not a later one of its number) runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def keep(model: APPO) -> APPO:
    """Let the processes of a module's shared model outlive a test."""
    _shared.append(model)
    return model


def give_up(model: APPO) -> None:
    """The end of `keep`."""
    _shared.remove(model)
    model.close()


def strangers() -> list[psutil.Process]:
    """Processes below this one that belong to no shared model."""
    kept = {p for model in _shared for n in nursery_pids(model) for p in (n, *(c.pid for c in descendants(n)))}
    return [process for process in descendants() if process.pid not in kept and alive(process)]


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"the test has not ended after {MAX_TEST_S} s")


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Every test ends, and leaves the processes as it found them."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(MAX_TEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert eventually(lambda: not strangers(), 5.0), f"still there: {[(p.pid, p.name()) for p in strangers()]}"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No layer of the machine's own settings, and no threads that others need."""
    for name in [name for name in os.environ if name.startswith("ARL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def warm_nurseries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nurseries of models of this process that shall have torch find it imported."""
    monkeypatch.setattr(zygote, "subprocess", warm.for_nurseries())


def environment(**more: str) -> dict[str, str]:
    """Variables for a process of its own, in which `tiny_envs` can be imported."""
    path = os.pathsep.join([HERE, str(Path(__file__).parents[2])])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def start_arl(*arguments: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """`arl ...` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "arl_core", *arguments],
        cwd=cwd, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def arl(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`arl ...` to its end, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def arl_apart(*arguments: str, cwd: Path, timeout_s: float = 60.0, **more: str) -> subprocess.CompletedProcess[str]:
    """`arl ...` to its end, in a process of its own."""
    process = start_arl(*arguments, cwd=cwd, **more)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"arl {' '.join(arguments)} did not end in {timeout_s} s:\n{out}\n{err}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def script(text: str, folder: Path, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """A user's script, run as one."""
    file = folder / "user_script.py"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


RUN = (
    "--num_workers", "1", "--num_envs_per_worker", "4", "--rollout", "8", "--batch_size", "64",
    "--device", "cpu", "--train_dir", "runs", "--experiment", "r",
)  # fmt: skip


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two policies have the same weights, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
