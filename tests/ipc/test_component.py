from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentLink, ComponentSpec, SharedHandles, post_metrics
from arl_core.ipc.control import ControlBlock, Role, Wanted, control_specs
from arl_core.ipc.mailbox import Mailbox, mailbox_specs

TABLE = {
    **control_specs(1, 1),
    **mailbox_specs("reports", 1),
    **mailbox_specs("commands", 1),
    "counts": ArraySpec((8,), "int64"),  # pauses, idle rounds, steps
}
PAUSES, IDLE, STEPS = range(3)


class Run(NamedTuple):
    """The trainer's side of a run of one component."""

    arena: Arena
    bells: list[Bell]
    control: ControlBlock
    reports: Mailbox

    def command(self, wanted: Wanted) -> int:
        word = self.control.command(Role.ROLLOUT, wanted)
        self.bells[0].ring()
        return word

    def acknowledged(self, word: int) -> bool:
        return bool(self.control.ack[0] == word)

    def link(self) -> ComponentLink:
        handles = SharedHandles(self.arena.fd, [bell.fds for bell in self.bells], TABLE)
        return ComponentLink(ComponentSpec("worker-0", Role.ROLLOUT, 0, 0), handles)


@pytest.fixture
def run(make_arena: Any) -> Iterator[Run]:
    arena = make_arena(TABLE)
    for name in ("reports", "commands"):
        Mailbox.initialise(arena[f"{name}.turn"][0], arena[f"{name}.memory"][0])
    bells = [Bell(), Bell()]
    yield Run(arena, bells, ControlBlock(arena), Mailbox(arena["reports.turn"][0], arena["reports.memory"][0]))
    for bell in bells:
        bell.close()


def test_a_process_pauses_resumes_and_ends_on_command(run: Run, children: Any, wait_until: Any) -> None:
    paused = run.command(Wanted.PAUSE)
    pid = children.start("component", run.arena, run.bells, behaviour="follow")
    counts = run.arena["counts"]
    wait_until(lambda: run.acknowledged(paused))
    assert counts[PAUSES] == 1
    assert counts[STEPS] == 0, "a paused component does nothing"
    running = run.command(Wanted.RUN)
    wait_until(lambda: run.acknowledged(running) and counts[STEPS] > 3)
    paused = run.command(Wanted.PAUSE)
    wait_until(lambda: run.acknowledged(paused))
    steps, idle = int(counts[STEPS]), int(counts[IDLE])
    run.bells[0].ring()  # wakes it, but it stays where it is
    wait_until(lambda: counts[IDLE] > idle)
    assert counts[STEPS] == steps
    assert counts[PAUSES] == 2
    assert run.bells[1].wait(0.0), "acknowledging rings the trainer"
    stop = run.command(Wanted.STOP)
    assert children.code(pid) == 0
    assert run.acknowledged(stop)


def test_what_is_pending_is_sent_by_who_waits(run: Run) -> None:
    """A reply posted while the mailbox was not emptied yet: its sender has nothing else to do, and its reader waits for it."""
    link = run.link()
    link.outbox.post("first")
    link.outbox.post("reply")
    assert link.wait(timeout_s=5.0) < 1.0, "the reader rings nobody when it empties the mailbox"
    assert run.reports.take() == ["first"]
    link.wait(timeout_s=0.01)
    assert run.reports.take() == ["reply"]


def test_stop_ends_a_paused_process_and_one_that_has_not_begun(run: Run, children: Any, wait_until: Any) -> None:
    word = run.command(Wanted.PAUSE)
    pid = children.start("component", run.arena, run.bells, behaviour="follow")
    wait_until(lambda: run.acknowledged(word))
    run.command(Wanted.STOP)
    assert children.code(pid) == 0
    assert children.code(children.start("component", run.arena, run.bells, behaviour="follow")) == 0


def test_a_newer_command_overtakes_an_older_one(run: Run, children: Any, wait_until: Any) -> None:
    first, second = run.command(Wanted.PAUSE), run.command(Wanted.RUN)
    pid = children.start("component", run.arena, run.bells, behaviour="follow")
    wait_until(lambda: run.acknowledged(second))
    assert not run.acknowledged(first)
    assert run.arena["counts"][PAUSES] == 0
    children.kill(pid)


def test_the_heart_beats_while_it_pauses(run: Run, children: Any, wait_until: Any) -> None:
    word = run.command(Wanted.PAUSE)
    pid = children.start("component", run.arena, run.bells, behaviour="follow")
    wait_until(lambda: run.acknowledged(word))
    beat = int(run.control.heartbeat_ns[0])
    wait_until(lambda: run.control.heartbeat_ns[0] > beat)  # nobody rings
    children.kill(pid)


def test_what_a_process_raises_is_reported_with_its_traceback(run: Run, children: Any) -> None:
    assert children.code(children.start("component", run.arena, run.bells, behaviour="fail")) == 1
    ((kind, name, message, text),) = run.reports.take()
    assert (kind, name, message) == ("error", "ValueError", "the cause")
    assert "in fail" in text
    assert run.bells[1].wait(0.0)


def test_an_early_exit_is_an_error_too(run: Run, children: Any) -> None:
    assert children.code(children.start("component", run.arena, run.bells, behaviour="exit")) == 1
    ((kind, name, message, _),) = run.reports.take()
    assert (kind, name, message) == ("error", "SystemExit", "7")


def test_last_words_that_need_several_turns_arrive(run: Run, children: Any, wait_until: Any) -> None:
    pid = children.start("component", run.arena, run.bells, behaviour="chatter")
    received: list[Any] = []

    def all_there() -> bool:
        received.extend(run.reports.take())
        return len(received) == 40

    wait_until(all_there)
    assert [number for _, number, _ in received] == list(range(40))
    assert children.code(pid) == 0


def test_a_process_ends_though_nobody_takes_its_last_words(run: Run, children: Any) -> None:
    begin = time.monotonic()
    assert children.code(children.start("component", run.arena, run.bells, behaviour="chatter")) == 0
    assert time.monotonic() - begin < 15.0


def test_sigint_is_the_trainers_business(run: Run, children: Any, wait_until: Any) -> None:
    word = run.command(Wanted.RUN)
    pid = children.start("component", run.arena, run.bells, behaviour="follow")
    wait_until(lambda: run.acknowledged(word))
    steps = int(run.arena["counts"][STEPS])
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: run.arena["counts"][STEPS] > steps + 2)
    run.command(Wanted.STOP)
    assert children.code(pid) == 0


@pytest.mark.parametrize("wanted", [Wanted.RUN, Wanted.PAUSE])
def test_an_orphan_ends_by_itself(run: Run, wanted: Wanted) -> None:
    """Without the kernel's help: the process between us and the component ends, the component notices."""
    word = run.command(wanted)
    reading, writing = os.pipe()
    bell_fds = [bell.fds[0] for bell in run.bells]
    fds = [run.arena.fd, writing, *bell_fds]
    child = f"import ipc_children; ipc_children.orphan({run.arena.fd}, {TABLE!r}, {bell_fds})"
    names = "from arl_core.interfaces import ArraySpec\n"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {names + child!r}], pass_fds={fds})\n"
        "sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    process = subprocess.Popen([sys.executable, "-c", parent], pass_fds=fds, stdin=subprocess.PIPE, env=environment)
    os.close(writing)
    deadline = time.monotonic() + 20.0
    while not run.acknowledged(word):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    ready, _, _ = select.select([reading], [], [], 20.0)  # its end closes the last writing end
    assert ready
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_metrics_are_skipped_while_the_last_ones_were_not_taken(run: Run) -> None:
    link = run.link()
    for number in range(1000):
        post_metrics(link, "sampling", number)
    taken = run.reports.take()
    link.outbox.flush()
    taken += run.reports.take()
    assert taken == [("sampling", 0), ("sampling", 1)], "one handed over, at most one held back"


def test_waiting_is_bounded_and_measured(run: Run) -> None:
    link = run.link()
    begin = time.monotonic()
    slept = link.wait(0.05)
    assert 0.04 < slept <= time.monotonic() - begin + 1e-3
    run.bells[0].ring()
    assert link.wait(20.0) < 10.0
    begin = time.monotonic()
    link.wait(3600.0)
    assert time.monotonic() - begin < 30.0, "no wait is longer than MAX_WAIT_S"
