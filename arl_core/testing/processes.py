"""Commands in processes of their own, that end in bounded time whatever they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arl_core.runtime.processes.zygote import import_path

TASK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code` is negative after a signal; None: it was ended because it took too long."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def how(self) -> str:
        """The end, in words."""
        if self.code is None:
            return "did not end in time"
        if self.code < 0:
            return f"was ended by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"

    @property
    def last_line(self) -> str:
        """The last line of what it wrote to standard error, where an exception's message stands."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def child_environment(**more: str) -> dict[str, str]:
    """This process's variables without `ARL_*` (a machine's own settings must not decide), and its import path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARL_")}
    path = os.pathsep.join(entry for entry in import_path() if entry)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def run_bounded(
    command: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Ended:
    """Run `command`; after `timeout_s` it is ended, with all processes that it started."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command,
            env=dict(child_environment() if env is None else env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,  # files, not pipes: what a grandchild holds open keeps nobody waiting
            stderr=err,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if code is None:
                end_group(process)
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a process that has a session of its own, with everything in it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def in_fresh_process(task: str, timeout_s: float = TASK_TIMEOUT_S, **arguments: Any) -> tuple[dict[str, Any] | None, Ended]:
    """Run a task of `arl_core.testing.fresh`. Returns its result (None where it died) and how the process ended."""
    with tempfile.TemporaryDirectory() as folder:
        order, answer = Path(folder, "task.json"), Path(folder, "result.json")
        order.write_text(json.dumps({"task": task, "sys_path": import_path(), **arguments}), encoding="utf-8")
        # another hash seed each time: what depends on the order of a set shows
        env = child_environment(PYTHONHASHSEED=str(int.from_bytes(os.urandom(3), "big")))
        command = [sys.executable, "-m", "arl_core.testing.fresh", str(order), str(answer)]
        ended = run_bounded(command, timeout_s=timeout_s, env=env)
        if ended.code != 0 or not answer.exists():
            return None, ended
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return result, ended
