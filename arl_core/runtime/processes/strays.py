"""Programs that an environment has started in sessions of their own (simulators, mostly): no process group of ours has them.

They have inherited a mark among their environment variables, by which they are found wherever they have gone, on Linux.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

MARK = "_ARL_STARTED_BY"  # variable: "RUN." of all that a nursery starts, "RUN.PID." of what its process PID starts
_LIMIT_S = 2.0
_PAUSE_S = 0.01


def mark_ours() -> None:
    """Have the programs that this process starts bear its own mark."""
    os.environ[MARK] += f"{os.getpid()}."


def end_strays(marks: Sequence[str]) -> None:
    """End all programs, but for this one, with one of these marks, and what they start meanwhile. Bounded."""
    wanted = [f"{MARK}={mark}".encode() for mark in marks]
    deadline = time.monotonic() + _LIMIT_S
    while wanted and (found := _bearers(wanted)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)


def _bearers(wanted: Sequence[bytes]) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            variables = (entry / "environ").read_bytes()
            if any(mark in variables for mark in wanted) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found
