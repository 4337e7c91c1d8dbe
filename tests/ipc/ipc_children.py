"""What the tests' child processes do. Imported in a nursery, not a test module."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.component import ComponentLink, ComponentSpec, SharedHandles, run_component
from arl_core.ipc.control import Role
from arl_core.ipc.mailbox import Mailbox
from arl_core.ipc.weights import WeightsBoard


def main(*, fds: Mapping[str, list[int]], shared: str, table: Mapping[str, ArraySpec], function: str, kwargs: Any) -> int:
    arena_fd, *bell_fds = fds[shared]
    bells = [(fd,) for fd in bell_fds]  # eventfds
    if function == "component":
        return component(SharedHandles(arena_fd, bells, table), **kwargs)
    return int(globals()[function](Arena(arena_fd, table), [Bell(fds) for fds in bells], **kwargs) or 0)


def add(arena: Arena, bells: list[Bell], name: str, amount: int) -> None:
    arena[name][...] += amount


def answer_bell(arena: Arena, bells: list[Bell]) -> int:
    """Wait for bell 0, then ring bell 1. Exit code 3 if it was not rung in time."""
    if not bells[0].wait(10.0):
        return 3
    bells[1].ring()
    return 0


def post_for_ever(arena: Arena, bells: list[Bell], seed: int) -> None:
    """Post (number, content) without pause, contents of random sizes."""
    rng = np.random.default_rng(seed)
    mailbox = Mailbox(arena["m.turn"][0], arena["m.memory"][0])
    number = 0
    while True:
        if mailbox.flush():
            for size in rng.integers(0, 3000, 20):
                mailbox.post((number, b"x" * int(size)))
                number += 1


def take_for_ever(arena: Arena, bells: list[Bell]) -> None:
    mailbox = Mailbox(arena["m.turn"][0], arena["m.memory"][0])
    while True:
        arena["taken"][0] += len(mailbox.take())


def publish_for_ever(arena: Arena, bells: list[Bell], pause_s: float) -> None:
    """Versions in which every byte is the version (modulo 251), in bursts."""
    board = WeightsBoard(arena, 0)
    while True:
        for version in range(board.version + 1, board.version + 6):
            board.buffer_to_write().fill(version % 251)
            board.publish(version)
        time.sleep(pause_s)


# --------------------------------------------------------------------------- components


def component(handles: SharedHandles, behaviour: str) -> int:
    bodies = {"follow": follow, "fail": fail, "exit": exit_early, "chatter": chatter}
    return run_component(ComponentSpec("worker-0", Role.ROLLOUT, 0, 0), handles, bodies[behaviour])


def follow(link: ComponentLink) -> None:
    """Obey commands; count pauses, idle rounds and steps in `counts`."""
    counts = link.arena["counts"]

    def count(index: int) -> None:
        counts[index] += 1

    while True:
        if link.changed() and not link.obey(lambda: count(0), lambda: count(1)):
            return
        count(2)
        link.wait(0.01)


def fail(link: ComponentLink) -> None:
    raise ValueError("the cause")


def exit_early(link: ComponentLink) -> None:
    raise SystemExit(7)


def chatter(link: ComponentLink) -> None:
    """More than one mailbox full, then the end: all of it has to arrive."""
    for number in range(40):
        link.outbox.post(("chatter", number, bytes(20_000)))


def orphan(fd: int, table: Mapping[str, ArraySpec], bell_fds: list[int]) -> None:
    """In the process that an ended process leaves behind: obey until the end."""
    os._exit(component(SharedHandles(fd, [(bell,) for bell in bell_fds], table), "follow"))
