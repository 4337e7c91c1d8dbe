from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import OwnFrames, SlotInbox, SlotRing, SlotShape, SlotState, settle_hand_over, slot_specs


def shape(**changes: Any) -> SlotShape:
    values: dict[str, Any] = {
        "num_policies": 2,
        "num_groups": 3,
        "slots_per_group": 2,
        "rollout": 5,
        "group_size": 4,
        "obs": {"image": ArraySpec((3, 8), "uint8"), "speed": ArraySpec((), "float32")},
        "action_size": 2,
        "action_dtype": "float32",
        "params_size": 6,
        "state_size": 7,
    }
    return SlotShape(**{**values, **changes})


@pytest.fixture
def arena(make_arena: Any) -> Arena:
    made: Arena = make_arena(slot_specs(shape()))
    return made


def test_rings_divide_the_slots() -> None:
    s = shape()
    assert [slot for group in range(3) for slot in s.ring(group)] == list(range(s.num_slots))
    assert s.num_slots == 6


def test_the_table_of_a_trajectory() -> None:
    specs = slot_specs(shape())
    assert specs["obs.image"] == ArraySpec((6, 6, 4, 3, 8), "uint8")
    assert specs["obs.speed"] == ArraySpec((6, 6, 4), "float32")
    assert specs["actions"] == ArraySpec((6, 5, 4, 2), "float32")
    assert specs["outputs"] == ArraySpec((6, 5, 4, 6 + 1), "float32")
    assert specs["rewards"] == ArraySpec((6, 5, 4), "float32")
    for name in ("terminated", "truncated", "valid"):
        assert specs[name] == ArraySpec((6, 5, 4), "bool")
    assert specs["versions"] == ArraySpec((2, 6, 5), "int64")
    assert specs["rnn_state"] == ArraySpec((6, 4, 7), "float32")
    assert specs["group.last_valid"] == ArraySpec((3, 4), "bool")


def test_a_ring_goes_round_and_blocks_where_the_learner_is_behind(make_arena: Any) -> None:
    s = shape(num_policies=1)
    arena = make_arena(slot_specs(s))
    ring = SlotRing(arena, s.ring(1))
    state = arena["slot.state"][0]
    assert ring.acquire() == 2
    assert state[2] == SlotState.FILLING
    ring.hand_over(2)
    assert state[2] == SlotState.FULL
    assert ring.acquire() == 3
    ring.hand_over(3)
    assert ring.acquire() == -1
    state[3] = SlotState.FREE
    assert ring.acquire() == -1, "slots are used in turn"
    state[2] = SlotState.TRAINING
    assert ring.acquire() == -1
    state[2] = SlotState.FREE
    assert ring.acquire() == 2
    assert ring.acquire() == 3
    assert (state[[0, 1, 4, 5]] == SlotState.FREE).all(), "other rings are untouched"


def test_a_slot_is_filled_again_when_every_policy_has_given_it_back(arena: Arena) -> None:
    ring = SlotRing(arena, range(2, 3))
    state = arena["slot.state"]
    assert ring.acquire() == 2
    assert state[:, 2].tolist() == [SlotState.FILLING] * 2
    ring.hand_over(2, np.array([True, True]))
    for policy in range(2):
        assert SlotInbox(arena, policy).oldest_full() == 2
        assert ring.acquire() == -1
        SlotInbox(arena, policy).release(2)
    assert ring.acquire() == 2
    ring.hand_over(2, np.array([False, True]))
    assert state[:, 2].tolist() == [SlotState.FREE, SlotState.FULL], "a policy without rows is not asked"


@pytest.mark.parametrize("reached", range(4))
def test_a_hand_over_that_a_death_cut_short_is_finished(arena: Arena, reached: int) -> None:
    """`reached`: how many of the two state words and the counts were written."""
    frames, slots, state = arena["group.frames"][:, 1], arena["group.slots"][1], arena["slot.state"]
    frames[:, 0], frames[:, 2] = [100, 50], [112, 50]  # policy 1 owns nothing in this slot
    slots[:3] = [2 + 1, 7, 8]
    state[:, 2] = SlotState.FILLING
    if reached > 0:
        state[0, 2] = SlotState.TRAINING  # the learner was quick
    if reached > 1:
        state[1, 2] = SlotState.FREE
    if reached > 2:
        frames[:, 0], slots[1] = frames[:, 2], 8
    for _ in range(2):
        settle_hand_over(arena, 1)
        assert state[:, 2].tolist() == [SlotState.TRAINING if reached else SlotState.FULL, SlotState.FREE]
        assert frames[:, 0].tolist() == [112, 50]
        assert slots[:2].tolist() == [0, 8]


def test_a_ring_resumes_where_it_was(arena: Arena) -> None:
    first = SlotRing(arena, shape().ring(0))
    first.acquire()
    second = SlotRing(arena, shape().ring(0))
    second.next_index = first.next_index
    assert second.acquire() == 1


def test_the_inbox_gives_the_oldest_full_slot_of_its_policy(arena: Arena) -> None:
    state, sequence = arena["slot.state"], arena["slot.sequence"]
    inbox, other = SlotInbox(arena, 0), SlotInbox(arena, 1)
    assert inbox.oldest_full() == -1
    for order, slot in enumerate([4, 0, 3]):
        state[0, slot], sequence[slot] = SlotState.FULL, 1000 + order
    state[1, 5], sequence[5] = SlotState.FULL, 2000
    state[0, 1], sequence[1] = SlotState.FILLING, 1  # an old sequence of a slot that is not full
    assert inbox.count(SlotState.FULL) == 3
    assert sorted(inbox.all_full()) == [0, 3, 4]
    assert [inbox.oldest_full() for _ in range(4)] == [4, 0, 3, -1]
    assert inbox.count(SlotState.TRAINING) == 3
    assert other.oldest_full() == 5
    assert other.oldest_full() == -1
    inbox.release(0)
    other.release(5)
    assert state.tolist() == [[0, 1, 0, 3, 3, 0], [0, 0, 0, 0, 0, 0]]


def test_every_policy_sees_its_own_frames(make_arena: Any) -> None:
    alone = make_arena(slot_specs(shape(num_policies=1)))
    alone["valid"][1, :, :2] = True
    own = OwnFrames(alone, 0)
    assert not own.shared
    assert own.mask(1).tolist() == alone["valid"][1].tolist()
    assert (own.count(1), own.count(1, 2)) == (10, 4)
    s = shape(num_policies=1, snapshots_per_policy=2)
    together = make_arena(slot_specs(s))
    assert (s.num_players, list(s.snapshots_of(0))) == (3, [1, 2])
    together["valid"][1, :4] = True
    together["owner"][1, :, 1] = 2  # a snapshot
    own = OwnFrames(together, 0)
    assert own.shared
    assert own.mask(1).sum(0).tolist() == [4, 0, 4, 4]
