from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotInbox, SlotShape, SlotState, slot_specs
from arl_core.learning.assembler import BatchAssembler
from arl_core.models.distributions import Categorical

PER_STEP = ("actions", "rewards", "terminated", "truncated", "valid")
DERIVED = ("values", "params", "log_probs")  # from the policy's outputs
KEYS = ("image", "speed")
DIST = Categorical(3)


class Source:
    """An arena full of random trajectories, all of its slots full, and an assembler."""

    def __init__(self, *, group_size: int, columns: int, rollout: int = 3, slots: int = 6, state_size: int = 2, seed: int = 0):
        self.shape = SlotShape(
            num_policies=1,
            num_groups=1,
            slots_per_group=slots,
            rollout=rollout,
            group_size=group_size,
            obs={"image": ArraySpec((2, 2), "uint8"), "speed": ArraySpec((), "float32")},
            action_size=1,
            action_dtype="int64",
            params_size=3,
            state_size=state_size,
        )
        self.arena = Arena.create(slot_specs(self.shape))
        rng = np.random.default_rng(seed)
        for name in self.arena.table:
            if not name.startswith(("slot.", "group.")):
                array = self.arena[name]
                array[...] = rng.integers(
                    0, {"actions": 3, "outputs": 5}.get(name, 2 if array.dtype == bool else 100), array.shape
                )
        self.inbox = SlotInbox(self.arena, 0)
        self.arena["slot.state"][:] = SlotState.FULL
        self.arena["slot.sequence"][:] = np.arange(slots)
        self.assembler = BatchAssembler(self.arena, self.shape, self.inbox, columns, DIST)

    def joined(self, name: str) -> np.ndarray[Any, Any]:
        """All columns of all slots, in order: [T(+1), slots * E, ...]."""
        array = self.arena[name]
        if name == "versions":
            array = np.repeat(array[0, :, :, None], self.shape.group_size, axis=2)
        if name == "rnn_state":
            return np.concatenate(list(array))
        return np.concatenate(list(array), axis=1)

    def fill(self) -> None:
        while not self.assembler.complete:
            slot = self.inbox.oldest_full()
            assert slot >= 0
            self.assembler.add(slot)

    def check_batch(self, begin: int) -> None:
        """The batch is columns `begin ...` of all columns, bit for bit."""
        batch = self.assembler.take()
        columns = slice(begin, begin + self.assembler.columns)
        assert set(batch.obs) == set(KEYS)
        for key in KEYS:
            assert_same(batch.obs[key], self.joined(f"obs.{key}")[:, columns])
        for name in PER_STEP:
            assert_same(getattr(batch, name), self.joined(name)[:, columns])
        outputs = torch.from_numpy(self.joined("outputs")[:, columns])
        assert torch.equal(batch.params, outputs[..., :3])
        assert torch.equal(batch.values, outputs[..., 3])
        assert torch.equal(batch.log_probs, DIST.log_prob(outputs[..., :3], batch.actions))
        if self.shape.state_size:
            assert batch.rnn_state is not None
            assert_same(batch.rnn_state, self.joined("rnn_state")[columns])
        else:
            assert batch.rnn_state is None
        np.testing.assert_array_equal(self.assembler.column_versions, self.joined("versions")[:, columns])


def assert_same(tensor: torch.Tensor, array: np.ndarray[Any, Any]) -> None:
    assert tensor.is_contiguous()
    assert tensor.numpy().dtype == array.dtype
    np.testing.assert_array_equal(tensor.numpy(), array)


@settings(max_examples=60, deadline=None)
@given(
    group_size=st.integers(1, 9),
    columns=st.integers(1, 11),
    rollout=st.integers(1, 4),
    slots=st.integers(1, 7),
    state_size=st.sampled_from([0, 3]),
)
def test_columns_arrive_once_in_order_and_exactly(
    group_size: int, columns: int, rollout: int, slots: int, state_size: int
) -> None:
    source = Source(group_size=group_size, columns=columns, rollout=rollout, slots=slots, state_size=state_size)
    assembler, valid = source.assembler, source.joined("valid")
    state = source.arena["slot.state"][0]
    total = group_size * slots
    for number in range(total // columns):
        source.fill()
        source.check_batch(number * columns)
        end = (number + 1) * columns
        held = -(-end // group_size) * group_size  # slots are taken whole
        assert assembler.staged_frames() == valid[:, number * columns : held].sum()
        expected = [SlotState.FREE] * (end // group_size) + [SlotState.TRAINING] * (end % group_size > 0)
        assert state.tolist() == expected + [SlotState.FULL] * (slots - len(expected))
        assembler.next_batch()
    source.arena.close()


def test_a_slot_is_given_back_with_its_last_column() -> None:
    source = Source(group_size=5, columns=2)
    state = source.arena["slot.state"][0]
    source.assembler.add(source.inbox.oldest_full())
    for wanted in (SlotState.TRAINING, SlotState.TRAINING):
        assert source.assembler.complete
        assert state[0] == wanted
        source.assembler.next_batch()
    assert state[0] == SlotState.FREE
    assert not source.assembler.complete
    assert (source.assembler.filled, source.assembler.slot) == (1, -1)
    source.arena.close()


def test_what_the_sampler_writes_into_a_free_slot_does_not_reach_the_batch() -> None:
    source = Source(group_size=4, columns=4)
    source.fill()
    before = source.joined("rewards")[:, :4].copy()
    source.arena["rewards"][0] = -1
    np.testing.assert_array_equal(source.assembler.take().rewards.numpy(), before)
    source.arena.close()


def test_dropping_counts_what_it_drops_and_gives_the_slot_back() -> None:
    for filled, columns in ((1, 8), (2, 4), (3, 11)):
        source = Source(group_size=5, columns=columns)
        for _ in range(filled):
            if not source.assembler.complete:
                source.assembler.add(source.inbox.oldest_full())
        slots = int(np.count_nonzero(source.arena["slot.state"][0] != SlotState.FULL))
        staged = int(source.joined("valid")[:, : 5 * slots].sum())
        assert source.assembler.staged_frames() == staged
        assert source.assembler.drop() == staged
        assert source.assembler.staged_frames() == source.assembler.drop() == 0
        assert (source.arena["slot.state"][0][:slots] == SlotState.FREE).all()
        source.fill()
        source.check_batch(5 * slots)
        source.arena.close()


def test_a_state_round_trip_goes_on_exactly() -> None:
    for taken in (0, 1, 2, 3):
        first, second = Source(group_size=5, columns=7), Source(group_size=5, columns=7, seed=9)
        for _ in range(taken):
            if first.assembler.complete:
                first.assembler.next_batch()
            first.assembler.add(first.inbox.oldest_full())
        saved = {key: value.clone() for key, value in first.assembler.state_dict().items()}
        for name in first.arena.table:
            second.arena[name][...] = first.arena[name]
        second.assembler.load_state_dict(saved)
        assert second.assembler.staged_frames() == first.assembler.staged_frames()
        assert second.assembler.complete == first.assembler.complete
        for _ in range(2):
            for source in (first, second):
                source.fill()
            mine, theirs = first.assembler.take(), second.assembler.take()
            for name in (*PER_STEP, *DERIVED, "rnn_state"):
                assert torch.equal(getattr(mine, name), getattr(theirs, name))
            assert all(torch.equal(mine.obs[key], theirs.obs[key]) for key in KEYS)
            np.testing.assert_array_equal(first.assembler.column_versions, second.assembler.column_versions)
            assert first.arena["slot.state"][0].tolist() == second.arena["slot.state"][0].tolist()
            for source in (first, second):
                source.assembler.next_batch()
        for source in (first, second):
            source.arena.close()
