from __future__ import annotations

from typing import Any

import pytest

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotInbox, SlotRing, SlotShape, SlotState, slot_specs


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
    rings = [s.ring(policy, group) for policy in range(2) for group in range(3)]
    assert [slot for ring in rings for slot in ring] == list(range(s.num_slots))
    assert s.num_slots == 12


def test_the_table_of_a_trajectory() -> None:
    specs = slot_specs(shape())
    assert specs["obs.image"] == ArraySpec((12, 6, 4, 3, 8), "uint8")
    assert specs["obs.speed"] == ArraySpec((12, 6, 4), "float32")
    assert specs["actions"] == ArraySpec((12, 5, 4, 2), "float32")
    assert specs["outputs"] == ArraySpec((12, 5, 4, 6 + 1), "float32")
    assert specs["rewards"] == ArraySpec((12, 5, 4), "float32")
    for name in ("terminated", "truncated", "valid"):
        assert specs[name] == ArraySpec((12, 5, 4), "bool")
    assert specs["versions"] == ArraySpec((12, 5), "int64")
    assert specs["rnn_state"] == ArraySpec((12, 4, 7), "float32")
    assert specs["group.last_valid"] == ArraySpec((3, 4), "bool")


def test_a_ring_goes_round_and_blocks_where_the_learner_is_behind(arena: Arena) -> None:
    ring = SlotRing(arena, shape().ring(0, 1))
    state = arena["slot.state"]
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


def test_a_ring_resumes_where_it_was(arena: Arena) -> None:
    first = SlotRing(arena, shape().ring(0, 0))
    first.acquire()
    second = SlotRing(arena, shape().ring(0, 0))
    second.next_index = first.next_index
    assert second.acquire() == 1


def test_the_inbox_gives_the_oldest_full_slot_of_its_policy(arena: Arena) -> None:
    state, sequence = arena["slot.state"], arena["slot.sequence"]
    inbox, other = SlotInbox(arena, shape(), 0), SlotInbox(arena, shape(), 1)
    assert inbox.oldest_full() == -1
    for order, slot in enumerate([4, 0, 7, 3]):
        state[slot], sequence[slot] = SlotState.FULL, 1000 + order
    state[1], sequence[1] = SlotState.FILLING, 1  # an old sequence of a slot that is not full
    assert inbox.count(SlotState.FULL) == 3
    assert [inbox.oldest_full() for _ in range(4)] == [4, 0, 3, -1]
    assert inbox.count(SlotState.TRAINING) == 3
    assert other.oldest_full() == 7
    assert other.oldest_full() == -1
    inbox.release(0)
    other.release(7)
    assert list(state) == [0, 1, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0]
