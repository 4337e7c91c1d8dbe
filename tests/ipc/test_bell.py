from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from arl_core.ipc.bell import Bell


@pytest.fixture(params=["eventfd", "pipe"])
def bell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bell]:
    if request.param == "pipe":  # as where there is no eventfd
        monkeypatch.delattr(os, "eventfd", raising=False)
    made = Bell()
    assert len(made.fds) == (2 if request.param == "pipe" else 1)
    yield made
    made.close()


def test_a_ring_before_the_wait_is_not_lost(bell: Bell) -> None:
    bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)


def test_many_rings_are_one(bell: Bell) -> None:
    for _ in range(10_000):  # more than a pipe holds
        bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)
    bell.ring()
    assert bell.wait(0.0)


@pytest.mark.parametrize("timeout_s", [0.05, 0.0, -1.0])
def test_waiting_is_bounded(bell: Bell, timeout_s: float) -> None:
    begin = time.monotonic()
    assert not bell.wait(timeout_s)
    assert timeout_s * 0.9 <= time.monotonic() - begin < 10.0


def test_a_ring_ends_a_wait(bell: Bell) -> None:
    timer = threading.Timer(0.05, bell.ring)
    timer.start()
    begin = time.monotonic()
    assert bell.wait(20.0)
    assert time.monotonic() - begin < 10.0
    timer.join()


def test_closing_is_idempotent(bell: Bell) -> None:
    fds = bell.fds
    bell.close()
    bell.close()
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_across_processes(make_arena: Any, children: Any) -> None:
    bells = [Bell(), Bell()]
    pid = children.start("answer_bell", make_arena({}), bells)
    bells[0].ring()
    assert bells[1].wait(20.0)
    assert children.code(pid) == 0
    for bell in bells:
        bell.close()
