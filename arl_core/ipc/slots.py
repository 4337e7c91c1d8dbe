"""Slots: T consecutive steps of one environment group. The unit that changes hands.

Every array of a trajectory is time-major, `[S, T(+1), E, ...]` over all slots S. One state word for each policy and slot says
who may touch it: FREE and FILLING belong to the group's sampler, FULL and TRAINING to that policy's learner; only the present
owner writes it. Where several policies (or frozen snapshots of them) play, `owner` says who acted in each row; a slot that is
handed over becomes FULL for the policies that own rows of it, and its group may fill it again when it is FREE for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, FrameStacking
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence
from arl_core.ipc.stacks import frame_spec


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
    num_agents: int = 1  # consecutive rows that are the agents of one environment
    snapshots_per_policy: int = 0  # self-play: frozen snapshots of each policy
    stackings: Mapping[str, FrameStacking] = field(default_factory=dict)  # observations of which slots hold newest frames alone

    @property
    def num_slots(self) -> int:
        """S, over all groups."""
        return self.num_groups * self.slots_per_group

    @property
    def envs_per_group(self) -> int:
        """Environments; each has `num_agents` rows."""
        return self.group_size // self.num_agents

    @property
    def has_owners(self) -> bool:
        """Whether rows are played by more than one policy or snapshot."""
        return self.num_policies > 1 or self.snapshots_per_policy > 0

    @property
    def num_players(self) -> int:
        """Policies, and behind them their snapshots: the numbers that `owner` holds, each with a board of weights."""
        return self.num_policies * (1 + self.snapshots_per_policy)

    def snapshots_of(self, policy: int) -> range:
        """The numbers of a policy's frozen snapshots."""
        first = self.num_policies + policy * self.snapshots_per_policy
        return range(first, first + self.snapshots_per_policy)

    def ring(self, group: int) -> range:
        """The slots that `group` fills, in turn."""
        return range(group * self.slots_per_group, (group + 1) * self.slots_per_group)

    def served_groups(self, share: int, share_of: int) -> range:
        """The groups that policy worker `share` of `share_of` answers: neighbours, which are mostly of one rollout worker."""
        return range(share * self.num_groups // share_of, (share + 1) * self.num_groups // share_of)


def slot_specs(shape: SlotShape) -> dict[str, ArraySpec]:
    """The one table of a trajectory's arrays."""
    p, s, t, e = shape.num_policies, shape.num_slots, shape.rollout, shape.group_size
    obs, stacks = {}, {}
    for key, spec in shape.obs.items():
        rows, stacking = t + 1, shape.stackings.get(key)
        if stacking is not None:
            stacks[f"group.obs.{key}"] = ArraySpec((shape.num_groups, e, *spec.shape), spec.dtype)
            rows, spec = t + stacking.frames, frame_spec(spec, stacking)
        obs[f"obs.{key}"] = ArraySpec((s, rows, e, *spec.shape), spec.dtype)
    return {
        "slot.state": ArraySpec((p, s), "int64"),
        "slot.sequence": ArraySpec((s,), "int64"),  # order of completion: monotonic clock, nanoseconds
        "slot.weights_epoch": ArraySpec((p, s), "int64"),
        **obs,
        "actions": ArraySpec((s, t, e, shape.action_size), shape.action_dtype),
        "outputs": ArraySpec((s, t, e, shape.params_size + 1), "float32"),  # of the behaviour policy: parameters, value
        "rewards": ArraySpec((s, t, e), "float32"),
        "terminated": ArraySpec((s, t, e), "bool"),
        "truncated": ArraySpec((s, t, e), "bool"),
        "valid": ArraySpec((s, t, e), "bool"),
        **({"owner": ArraySpec((s, t, e), "int8")} if shape.has_owners else {}),  # the player that acted
        "versions": ArraySpec((p, s, t), "int64"),  # of the weights with which each policy acts in its rows
        "rnn_state": ArraySpec((s, e, shape.state_size), "float32"),  # at row 0
        # per group: what outlives a slot
        **stacks,  # the present ones, which the policy acts on
        "group.last_valid": ArraySpec((shape.num_groups, e), "bool"),  # False: it was a reset, memory starts anew
        "group.request": ArraySpec((shape.num_groups, 8), "int64"),  # central inference: slot, t, sequence, repeated
        "group.answer": ArraySpec((p, shape.num_groups, 8), "int64"),  # central inference: sequence
        "group.position": ArraySpec((shape.num_groups, 8), "int64"),  # slot (-1: none), t
        "group.frames": ArraySpec((p, shape.num_groups, 8), "int64"),  # see `settle_hand_over`
        "group.slots": ArraySpec((shape.num_groups, 8), "int64"),  # see `settle_hand_over`
        "group.granted": ArraySpec((shape.num_groups, 8), "int64"),  # synchronous mode: slots that may be handed over in all
    }


def settle_hand_over(arena: Arena, group: int) -> None:
    """After the death of a group's worker: finish the hand-over that it had begun, if it had.

    `group.frames` is, for each policy, frames handed over, frames discarded by a change of weights, and what the first becomes
    with the slot that is being handed over. `group.slots` is that slot (+ 1; 0: none), slots handed over, and what that
    becomes.
    """
    frames, slots = arena["group.frames"][:, group], arena["group.slots"][group]
    if slots[0]:
        state = arena["slot.state"][:, slots[0] - 1]
        owned = frames[:, 2] > frames[:, 0] if "owner" in arena else np.ones(1, bool)
        begun = state == SlotState.FILLING  # otherwise it was handed over, and is the learner's business
        state[begun] = np.where(owned, SlotState.FULL, SlotState.FREE)[begun]
        frames[:, 0], slots[1] = frames[:, 2], slots[2]
        slots[0] = 0


class SlotRing:
    """A group's own slots, from the sampler's side."""

    def __init__(self, arena: Arena, slots: range) -> None:
        self._state: NDArray[np.int64] = arena["slot.state"]
        self._slots = slots
        self.next_index = 0  # which slot of the ring comes next

    def acquire(self) -> int:
        """The next slot if it is free, now FILLING; otherwise -1 (backpressure: a learner is behind)."""
        slot = self._slots[self.next_index]
        state = self._state[:, slot]
        if state.any():  # not FREE for all
            return -1
        fence()
        state[:] = SlotState.FILLING
        self.next_index = (self.next_index + 1) % len(self._slots)
        return slot

    def hand_over(self, slot: int, owned: NDArray[np.bool_] | None = None) -> None:
        """Give a filled slot to the learners of the policies that have rows in it, `owned` [P] (None: the only one)."""
        fence()
        self._state[:, slot] = SlotState.FULL if owned is None else np.where(owned, SlotState.FULL, SlotState.FREE)


class SlotInbox:
    """Full slots of one policy, from the learner's side."""

    def __init__(self, arena: Arena, policy: int, slots: range | None = None) -> None:
        part = slice(None) if slots is None else slice(slots.start, slots.stop)  # those that come here
        self._first = 0 if slots is None else slots.start
        self._state: NDArray[np.int64] = arena["slot.state"][policy, part]
        self._sequence: NDArray[np.int64] = arena["slot.sequence"][part]

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


class OwnFrames:
    """Which entries of slots are valid frames of one policy."""

    def __init__(self, arena: Arena, policy: int) -> None:
        self._valid: NDArray[np.bool_] = arena["valid"]
        self._owner: NDArray[np.int8] | None = arena["owner"] if "owner" in arena else None  # noqa: SIM401  # an arena has no get
        self._policy = policy

    @property
    def shared(self) -> bool:
        """Whether others play beside this policy."""
        return self._owner is not None

    def mask(self, slot: int) -> NDArray[np.bool_]:
        """[T, E]; not to be written to."""
        valid: NDArray[np.bool_] = self._valid[slot]
        return valid if self._owner is None else valid & (self._owner[slot] == self._policy)

    def count(self, slot: int, rows: int | None = None) -> int:
        """Frames in the first `rows` steps (None: all) of a slot."""
        return int(np.count_nonzero(self.mask(slot)[:rows]))
