"""The control block: what every component shall do (one word), and what it says it does (one word each).

A command is one integer, `epoch * 4 + state`, so that it is read and written as a whole; a component acknowledges by
copying it. An answer to an older epoch is a different number and can not be mistaken for the present one.
"""

from __future__ import annotations

import os
import time
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence


class Wanted(IntEnum):
    """What the trainer wants of a component."""

    PAUSE = 0
    RUN = 1
    STOP = 2


class Role(IntEnum):
    """Components that take commands together, in the order in which they pause."""

    ROLLOUT = 0
    POLICY = 1
    LEARNER = 2
    EVALUATION = 3


def control_specs(num_components: int, num_policies: int) -> dict[str, ArraySpec]:
    """Each component's own words lie on a cache line of their own."""
    return {
        "control.wanted": ArraySpec((len(Role), 8), "int64"),
        "control.target_frames": ArraySpec((1,), "int64"),  # the sum over all policies
        "control.weights_epoch": ArraySpec((num_policies,), "int64"),
        "component.ack": ArraySpec((num_components, 8), "int64"),
        "component.heartbeat_ns": ArraySpec((num_components, 8), "int64"),
    }


class ControlBlock:
    """The trainer's side."""

    def __init__(self, arena: Arena) -> None:
        self.wanted: NDArray[np.int64] = arena["control.wanted"][:, 0]
        self.ack: NDArray[np.int64] = arena["component.ack"][:, 0]
        self.heartbeat_ns: NDArray[np.int64] = arena["component.heartbeat_ns"][:, 0]
        self.target_frames: NDArray[np.int64] = arena["control.target_frames"]
        self.weights_epoch: NDArray[np.int64] = arena["control.weights_epoch"]
        self._epoch = 0

    def command(self, role: Role, wanted: Wanted) -> int:
        """Give `role` a command under a new epoch; returns the word that acknowledges it."""
        self._epoch += 1
        word = self._epoch * 4 + int(wanted)
        fence()  # what the command is about (targets, epochs) is there before it
        self.wanted[role] = word
        return word


class ComponentControl:
    """A component's side: `word()` is looked at once a step, everything else only when it changes."""

    def __init__(self, arena: Arena, role: Role, component: int) -> None:
        self._wanted: NDArray[np.int64] = arena["control.wanted"][role]
        self._ack: NDArray[np.int64] = arena["component.ack"][component]
        self._heartbeat: NDArray[np.int64] = arena["component.heartbeat_ns"][component]
        self._parent = os.getppid()
        self.beat()

    def word(self) -> int:
        """The present command word."""
        return int(self._wanted[0])

    def beat(self) -> None:
        """Show that we live."""
        self._heartbeat[0] = time.monotonic_ns()

    def acknowledge(self, word: int) -> None:
        """Say that the command of `word` holds now."""
        fence()  # what the trainer reads after it is there before it
        self._ack[0] = word

    def orphaned(self) -> bool:
        """True when the process that started us is gone (where the kernel does not end us by itself)."""
        return os.getppid() != self._parent


def wanted_of(word: int) -> Wanted:
    """The state that a command word asks for."""
    return Wanted(word & 3)
