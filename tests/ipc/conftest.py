from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.runtime.processes.zygote import Zygote

PATIENCE_S = 20.0  # far above what anything here takes; a test that waits so long has found a hang


class Children:
    """Real processes that run functions of `ipc_children` on shared memory."""

    def __init__(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))
        try:
            self._zygote = Zygote(["ipc_children"])
        finally:
            sys.path.pop(0)
        self._shared = 0
        self._codes: dict[int, int] = {}

    def start(self, function: str, arena: Arena, bells: list[Bell] = [], **kwargs: Any) -> int:  # noqa: B006  # read only
        """Start `function(arena, bells, **kwargs)`; returns its pid."""
        self._shared += 1
        name = f"{self._shared}"
        self._zygote.share(name, [arena.fd, *(fd for bell in bells for fd in bell.fds)])
        call = {"shared": name, "table": dict(arena.table), "function": function, "kwargs": kwargs}
        return self._zygote.spawn("test", "ipc_children:main", call)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert self.code(pid) == -signal.SIGKILL

    def code(self, pid: int) -> int:
        """Wait for the end of a process; its exit code, -N for signal N."""
        deadline = time.monotonic() + PATIENCE_S
        while pid not in self._codes:
            assert time.monotonic() < deadline, f"process {pid} has not ended"
            for exit_ in self._zygote.exits():
                self._codes[exit_.pid] = exit_.code
            time.sleep(0.001)
        return self._codes[pid]

    def close(self) -> None:
        self._zygote.close()


@pytest.fixture(scope="module")  # other rooms' tests look for processes that were left behind
def children() -> Iterator[Children]:
    found = Children()
    yield found
    found.close()


@pytest.fixture
def make_arena() -> Iterator[Callable[[Mapping[str, ArraySpec]], Arena]]:
    made: list[Arena] = []

    def make(table: Mapping[str, ArraySpec]) -> Arena:
        made.append(Arena.create(table))
        return made[-1]

    yield make
    for arena in made:
        arena.close()


@pytest.fixture
def bounded() -> Callable[[Callable[[], Any]], Any]:
    """Call a function that might block for ever in foreign code; fails the test instead."""

    def call(function: Callable[[], Any]) -> Any:
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "blocked"
        assert results, "raised"
        return results[0]

    return call


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "this never happened"
            time.sleep(0.0005)

    return wait
