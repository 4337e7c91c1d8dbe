"""Slots: T consecutive steps of one environment group under one policy. The unit that changes hands.

Every array of a trajectory is time-major, `[S, T(+1), E, ...]` over all slots S. One state word per slot says who may
touch it: FREE and FILLING belong to the group's sampler, FULL and TRAINING to the learner; only the present owner writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence


class SlotState(IntEnum):
    """Who owns a slot."""

    FREE = 0
    FILLING = 1
    FULL = 2
    TRAINING = 3


@dataclass(frozen=True)
class SlotShape:
    """All that the size of the trajectory arrays follows from. Pickles; every component of a run has the same one."""

    num_policies: int
    num_groups: int
    slots_per_group: int
    rollout: int  # T
    group_size: int  # E
    obs: Mapping[str, ArraySpec]
    action_size: int  # A
    action_dtype: str
    params_size: int  # P, parameters of the action distribution
    state_size: int  # H, recurrent state; 0 without
    squashed: tuple[tuple[int, float, float], ...] = ()  # columns of actions that are stored before their tanh, low, high
    slots_per_iteration: int = 0  # synchronous mode: slots that each group fills for one iteration; 0: asynchronous

    @property
    def num_slots(self) -> int:
        """S, over all policies and groups."""
        return self.num_policies * self.num_groups * self.slots_per_group

    def ring(self, policy: int, group: int) -> range:
        """The slots that `group` fills under `policy`, in turn."""
        first = (policy * self.num_groups + group) * self.slots_per_group
        return range(first, first + self.slots_per_group)

    def served_groups(self, share: int, share_of: int) -> range:
        """The groups that policy worker `share` of `share_of` answers: neighbours, which are mostly of one rollout worker."""
        return range(share * self.num_groups // share_of, (share + 1) * self.num_groups // share_of)


def slot_specs(shape: SlotShape) -> dict[str, ArraySpec]:
    """The one table of a trajectory's arrays."""
    s, t, e = shape.num_slots, shape.rollout, shape.group_size
    obs = {f"obs.{key}": ArraySpec((s, t + 1, e, *spec.shape), spec.dtype) for key, spec in shape.obs.items()}
    return {
        "slot.state": ArraySpec((s,), "int64"),
        "slot.sequence": ArraySpec((s,), "int64"),  # order of completion: monotonic clock, nanoseconds
        "slot.weights_epoch": ArraySpec((s,), "int64"),
        **obs,
        "actions": ArraySpec((s, t, e, shape.action_size), shape.action_dtype),
        "outputs": ArraySpec((s, t, e, shape.params_size + 1), "float32"),  # of the behaviour policy: parameters, value
        "rewards": ArraySpec((s, t, e), "float32"),
        "terminated": ArraySpec((s, t, e), "bool"),
        "truncated": ArraySpec((s, t, e), "bool"),
        "valid": ArraySpec((s, t, e), "bool"),
        "versions": ArraySpec((s, t), "int64"),  # of the weights that chose the actions
        "rnn_state": ArraySpec((s, e, shape.state_size), "float32"),  # at row 0
        # per group: what outlives a slot
        "group.last_valid": ArraySpec((shape.num_groups, e), "bool"),  # False: it was a reset, memory starts anew
        "group.request": ArraySpec((shape.num_groups, 8), "int64"),  # central inference: slot, t, sequence, repeated
        "group.answer": ArraySpec((shape.num_groups, 8), "int64"),  # central inference: sequence
        "group.position": ArraySpec((shape.num_groups, 8), "int64"),  # slot (-1: none), t
        "group.frames": ArraySpec((shape.num_groups, 8), "int64"),  # see `settle_hand_over`
        "group.granted": ArraySpec((shape.num_groups, 8), "int64"),  # synchronous mode: slots that may be handed over in all
    }


def settle_hand_over(arena: Arena, group: int) -> None:
    """After the death of a group's worker: count the slot that it was handing over, if it was handed over.

    `group.frames` is frames produced, frames discarded by a change of weights, during a hand-over the slot (+ 1) and what
    `produced` becomes with it, slots handed over, and what that becomes.
    """
    frames: NDArray[np.int64] = arena["group.frames"][group]
    if frames[2]:
        if arena["slot.state"][frames[2] - 1] != SlotState.FILLING:
            frames[0], frames[4] = frames[3], frames[5]
        frames[2] = 0


class SlotRing:
    """A group's own slots under one policy, from the sampler's side."""

    def __init__(self, arena: Arena, slots: range) -> None:
        self._state: NDArray[np.int64] = arena["slot.state"]
        self._slots = slots
        self._next = 0

    def acquire(self) -> int:
        """The next slot if it is free, now FILLING; otherwise -1 (backpressure: the learner is behind)."""
        slot = self._slots[self._next]
        if self._state[slot] != SlotState.FREE:
            return -1
        fence()
        self._state[slot] = SlotState.FILLING
        self._next = (self._next + 1) % len(self._slots)
        return slot

    def hand_over(self, slot: int) -> None:
        """Give a filled slot to the learner."""
        fence()
        self._state[slot] = SlotState.FULL

    @property
    def next_index(self) -> int:
        """Which slot of the ring comes next (for exact resume)."""
        return self._next

    @next_index.setter
    def next_index(self, value: int) -> None:
        self._next = value


class SlotInbox:
    """Full slots of one policy, from the learner's side."""

    def __init__(self, arena: Arena, shape: SlotShape, policy: int, groups: range | None = None) -> None:
        groups = groups or range(shape.num_groups)  # those whose slots come here
        first = shape.ring(policy, groups[0]).start
        last = shape.ring(policy, groups[-1]).stop
        self._first = first
        self._state: NDArray[np.int64] = arena["slot.state"][first:last]
        self._sequence: NDArray[np.int64] = arena["slot.sequence"][first:last]

    def oldest_full(self) -> int:
        """The full slot that was completed first, now TRAINING; -1 if there is none."""
        full = np.flatnonzero(self._state == SlotState.FULL)
        if not len(full):
            return -1
        index = int(full[np.argmin(self._sequence[full])])
        fence()
        self._state[index] = SlotState.TRAINING
        return self._first + index

    def all_full(self) -> list[int]:
        """All full slots, in no order."""
        return (np.flatnonzero(self._state == SlotState.FULL) + self._first).tolist()

    def release(self, slot: int) -> None:
        """Give a slot back to its group."""
        fence()
        self._state[slot - self._first] = SlotState.FREE

    def count(self, state: SlotState) -> int:
        """How many slots are in `state`."""
        return int(np.count_nonzero(self._state == state))
