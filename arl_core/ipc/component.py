"""What every process of a run has in common: its place in the arena, its bell, its mailboxes, its way to end.

A component is a loop `body(link)`; `run_component` gives it its link, reports what it raises, and never lets it outlive
a STOP or its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.control import ComponentControl, Role, Wanted, wanted_of
from arl_core.ipc.mailbox import Mailbox
from arl_core.ipc.usage import Meter, usage

MAX_WAIT_S = 0.5  # no wait is longer; heartbeats and orphans are looked at in between
PENDING_WAIT_S = 0.1  # while messages of ours wait for their reader to empty the mailbox
MAX_TRACEBACK_CHARACTERS = 50_000


@dataclass(frozen=True)
class ComponentSpec:
    """Who a process is. Component numbers run over the whole run; the trainer itself has bell number -1 (the last)."""

    name: str  # "rollout-3", "policy-0", "learner-0"
    role: Role
    index: int  # within its role
    component: int  # over all roles


@dataclass(frozen=True)
class SharedHandles:
    """Descriptors as they are numbered in this process, and the table of the arena's arrays."""

    arena_fd: int
    bell_fds: Sequence[tuple[int, ...]]
    table: Mapping[str, ArraySpec]


class ComponentLink:
    """A component's connection to its run."""

    def __init__(self, spec: ComponentSpec, handles: SharedHandles) -> None:
        self.spec = spec
        self.arena = Arena(handles.arena_fd, handles.table)
        self.bells = [Bell(fds) for fds in handles.bell_fds]
        self.bell = self.bells[spec.component]
        self.control = ComponentControl(self.arena, spec.role, spec.component)
        c = spec.component
        self.outbox = Mailbox(self.arena["reports.turn"][c], self.arena["reports.memory"][c], self.bells[-1])
        self.inbox = Mailbox(self.arena["commands.turn"][c], self.arena["commands.memory"][c])
        self.waited_s = 0.0  # since the start
        self._seen = -1
        self._looked_s = 0.0  # when we last looked whether our parent lives

    def ring_trainer(self) -> None:
        """Tell the trainer that something of ours has changed."""
        self.bells[-1].ring()

    def wait(self, timeout_s: float = MAX_WAIT_S) -> float:
        """Send what is pending, sleep until rung; returns the seconds slept. Ends the process when its parent is gone."""
        begin = time.perf_counter()
        # no bell says that the mailbox is free again: who has more to say looks often
        longest_s = MAX_WAIT_S if self.outbox.flush() else PENDING_WAIT_S
        self.bell.wait(min(timeout_s, longest_s))
        self.control.beat()
        now = time.perf_counter()
        if now - self._looked_s > MAX_WAIT_S / 2:
            self._looked_s = now
            if self.control.orphaned():
                os._exit(1)
        self.waited_s += now - begin
        return now - begin

    def usage(self, meter: Meter) -> dict[str, Any]:
        """What this process has spent so far (see `ipc.usage`), for its report."""
        return usage(meter, waited_s=self.waited_s, rings=sum(bell.rings for bell in self.bells))

    def changed(self) -> bool:
        """True when there is a command that was not acknowledged yet."""
        return self.control.word() != self._seen

    def obey(self, on_pause: Callable[[], None], on_idle: Callable[[], None]) -> bool:
        """Follow the present command: acknowledge it and stay here while it says PAUSE. False when it says STOP.

        `on_pause` runs before a pause is acknowledged (all that the trainer reads during a pause is in place then),
        `on_idle` each time the pausing component wakes.
        """
        while True:
            word = self.control.word()
            if word != self._seen:
                if wanted_of(word) is Wanted.PAUSE:
                    on_pause()
                self._seen = word
                self.control.acknowledge(word)
                self.ring_trainer()
            if wanted_of(word) is not Wanted.PAUSE:
                return wanted_of(word) is Wanted.RUN
            on_idle()
            if self.control.word() == word:
                self.wait()


def leave_ends_to_the_trainer() -> None:
    """Ctrl-C in a terminal, and SIGTERM from a scheduler, come to every process of a run; the trainer decides how it ends.
    Processes that an environment starts end at SIGTERM as ever: programs have no handler, forks lose it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_it)
    os.register_at_fork(after_in_child=_end_at_sigterm)


def _leave_it(*_: object) -> None:
    pass


def _end_at_sigterm() -> None:
    if signal.getsignal(signal.SIGTERM) is _leave_it:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_component(spec: ComponentSpec, handles: SharedHandles, body: Callable[[ComponentLink], None]) -> int:
    """Run `body` to its end; returns the process's exit code. What it raises is reported to the trainer."""
    leave_ends_to_the_trainer()
    link = ComponentLink(spec, handles)
    try:
        body(link)
    except BaseException as error:  # noqa: BLE001  # environments raise anything, SystemExit too: all of it is reported
        text = traceback.format_exc()[-MAX_TRACEBACK_CHARACTERS:]
        link.outbox.post(("error", type(error).__name__, str(error)[:2000], text))
        # a trainer that is busy (with a callback, say) hears the cause later; one that ends the run waits for nobody long
        while not _deliver(link, deadline=time.monotonic() + 2.0) and wanted_of(link.control.word()) is not Wanted.STOP:
            pass
        return 1
    _deliver(link, deadline=time.monotonic() + 0.5)
    return 0


def _deliver(link: ComponentLink, deadline: float) -> bool:
    """Try to hand over what is pending. False where it was not taken in time."""
    with contextlib.suppress(OSError):
        while not link.outbox.flush():
            if time.monotonic() > deadline:
                return False
            link.wait(0.05)
    return True


def post_metrics(link: ComponentLink, kind: str, values: Any) -> None:
    """Send statistics unless the last ones were not taken yet: a slow trainer must not make our memory grow."""
    if link.outbox.flush():
        link.outbox.post((kind, values))
