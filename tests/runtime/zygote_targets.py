"""What the nursery's tests start."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from arl_core.ipc.component import leave_ends_to_the_trainer

FAULT_BLOCKS = 10
FAULT_PAGES = 48 << 8  # of 4 KiB in a block of 48 MiB: more than what glibc ever keeps by itself, 32 MiB


def count_faults() -> int:
    """Pages that the kernel had to bring for `FAULT_BLOCKS` large blocks, one after the other, after a first."""
    page = bytes(1 << 12)
    len(page * FAULT_PAGES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _block in range(FAULT_BLOCKS):
        len(page * FAULT_PAGES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def write_faults(*, fds: Any, file: str) -> None:
    Path(file).write_text(str(count_faults()))


def exit_with(*, fds: Any, code: Any) -> int:
    if code == "raise":
        raise ValueError("as asked")
    if code == "abort":
        os.kill(os.getpid(), signal.SIGABRT)
    return int(code)


def sleep(*, fds: Any, ignore_signals: bool = False) -> int:
    if ignore_signals:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
    return 0


def start_child(*, fds: Any, file: str, then: str = "sleep", own_session: bool = False) -> int:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=own_session)
    partial = Path(file + ".partial")
    partial.write_text(str(child.pid))
    partial.rename(file)
    if then == "sleep":
        time.sleep(600)
    return 5


def write_numbers(*, fds: Any) -> int:
    for number, fd in enumerate(fds["bells"]):
        os.write(fd, str(number).encode())
    return 0


def print_words(*, fds: Any) -> int:
    print("words", end="")
    return 3


def print_modules(*, fds: Any) -> int:
    print("torch:", "torch" in sys.modules, "script:", "unguarded" in sys.modules, flush=True)
    return 0


def end_children(*, fds: Any) -> int:
    """0: a component survives SIGTERM, a program and a fork that its environment started do not."""
    leave_ends_to_the_trainer()
    os.kill(os.getpid(), signal.SIGTERM)
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    fork = os.fork()
    if not fork:
        time.sleep(600)
    time.sleep(0.3)
    program.terminate()
    os.kill(fork, signal.SIGTERM)
    ends = program.wait(), os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    return int(ends != (-signal.SIGTERM, -signal.SIGTERM))
