from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from arl_core.ipc.slots import SlotShape
from arl_core.models.distributions import Categorical
from arl_core.sampling.noise import AHEAD, MOST_SLOTS, ActingNoise

ROLLOUT, ACTIONS = 4, 3


def noise_of(group_size: int, groups: int = 2, seed: int = 0) -> ActingNoise:
    shape = SlotShape(
        num_policies=1,
        num_groups=groups,
        slots_per_group=2,
        rollout=ROLLOUT,
        group_size=group_size,
        obs={},
        action_size=1,
        action_dtype="int64",
        params_size=ACTIONS,
        state_size=0,
    )
    generator = torch.Generator()
    generator.manual_seed(seed)
    return ActingNoise(Categorical(ACTIONS), shape, groups, generator, torch.device("cpu"))


def slots_of(noise: ActingNoise, group: int, slots: int) -> list[Any]:
    """Copies of the noise of the group's next slots, [T, E, ACTIONS] each."""
    drawn = []
    for _ in range(slots):
        noise.begin_slot(group)
        drawn.append(torch.stack([noise.row(group, t) for t in range(ROLLOUT)]).numpy())
    return drawn


@pytest.mark.parametrize(("group_size", "ahead"), [(1, MOST_SLOTS), (200, AHEAD // 2_400), (700, 1), (10_000, 1)])
def test_small_groups_draw_for_many_slots_at_once_large_ones_for_one(group_size: int, ahead: int) -> None:
    """But not for so many that the views of their steps weigh more than the numbers: those of 128 groups of one were 600 MB."""
    noise = noise_of(group_size)
    assert noise.ahead == ahead
    assert [len(views) for views in noise._rows] == [ahead * ROLLOUT] * 2


@pytest.mark.parametrize("group_size", [100, 2000])
def test_no_number_comes_twice_in_a_group_or_in_two(group_size: int) -> None:
    noise = noise_of(group_size)
    slots = [slot for group in (0, 1) for slot in slots_of(noise, group, 3 * noise.ahead)]
    numbers = np.concatenate([slot.ravel() for slot in slots])
    assert len({slot.tobytes() for slot in slots}) == len(slots)
    # U has 24 bits: what n numbers share by chance is n^2 / 2^25; a slot that came twice would add all of its own
    assert len(numbers) - len(np.unique(numbers)) < len(numbers) ** 2 / 2**25 + group_size * ROLLOUT * ACTIONS / 2


def test_a_step_that_is_asked_for_again_has_the_same_noise_and_a_slot_that_begins_anew_another() -> None:
    noise = noise_of(3)
    noise.begin_slot(0)
    first = [noise.row(0, t).clone() for t in range(ROLLOUT)]
    assert all(torch.equal(noise.row(0, t), first[t]) for t in range(ROLLOUT))
    noise.begin_slot(0)
    assert not torch.equal(noise.row(0, 0), first[0])


def test_arrays_and_single_rows_are_the_same_numbers() -> None:
    noise, arrays = noise_of(3), noise_of(3)
    arrays.give_arrays()
    for group in (0, 1, 1):
        noise.begin_slot(group)
        arrays.begin_slot(group)
    for t in range(ROLLOUT):
        for group in (0, 1):
            row = arrays.row(group, t)
            assert isinstance(row, np.ndarray)
            np.testing.assert_array_equal(row, noise.row(group, t).numpy())
            each = noise.of_rows(np.full(3, group), np.full(3, t), np.arange(3))
            assert torch.equal(each, noise.row(group, t))


def test_goes_on_from_a_saved_state_bit_for_bit() -> None:
    noise, other = noise_of(300, seed=1), noise_of(300, seed=2)
    slots_of(noise, 0, noise.ahead + 2)  # the groups stand at different slots
    slots_of(noise, 1, 1)
    state, random = noise.state_dict(), noise._generator.get_state()
    assert other.fits(state)
    other.load_state_dict(state)
    other._generator.set_state(random)
    assert torch.equal(noise.row(0, 2), other.row(0, 2))
    for group in (0, 1):
        for a, b in zip(slots_of(noise, group, 2 * noise.ahead), slots_of(other, group, 2 * noise.ahead), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not noise_of(301).fits(state)
