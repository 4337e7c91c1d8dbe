"""Stacks are made of frames that are stored once: checked against stacks that were kept whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, FrameStacking
from arl_core.ipc.slots import SlotShape, slot_specs
from arl_core.ipc.stacks import frame_of, frame_spec, restack

ROWS, COLUMNS = 9, 5
FRAME = (3, 4, 2)


def played(stacking: FrameStacking, seed: int) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Frames as a slot has them, which rows begin an episode, and the whole stacks: kept frame by frame, column by column."""
    rng = np.random.default_rng(seed)
    k = stacking.frames
    began = rng.random((ROWS, COLUMNS)) < 0.3
    frames = rng.integers(1, 255, (ROWS + k - 1, COLUMNS, *FRAME), np.uint8)
    stacks = []
    for column in range(COLUMNS):
        kept = list(frames[:k, column])
        for row in range(ROWS):
            newest = frames[row + k - 1, column]
            if row > 0 and began[row, column]:
                kept = [newest if stacking.copies_first else np.zeros_like(newest)] * (k - 1) + [newest]
            elif row > 0:
                kept = [*kept[1:], newest]
            stacks.append(np.concatenate(kept, stacking.axis))
    whole = np.stack(stacks).reshape(COLUMNS, ROWS, *stacks[0].shape).swapaxes(0, 1)
    return frames, began, whole


@pytest.mark.parametrize("copies_first", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("frames", [1, 2, 4, 12])
def test_restacked_is_what_was_kept(frames: int, axis: int, copies_first: bool) -> None:
    stacking = FrameStacking(frames, axis, copies_first)
    for seed in range(5):
        stored, began, whole = played(stacking, seed)
        in_numpy = np.full(whole.shape, 7, np.uint8)
        restack(stored, began, stacking, in_numpy)
        np.testing.assert_array_equal(in_numpy, whole)
        in_torch = torch.full(whole.shape, 7, dtype=torch.uint8)
        restack(torch.from_numpy(stored), began, stacking, in_torch)
        np.testing.assert_array_equal(in_torch.numpy(), whole)
        last = np.full(whole[-2:].shape, 7, np.uint8)
        restack(stored, began, stacking, last)
        np.testing.assert_array_equal(last, whole[-2:])


def test_no_value_is_read_back_from_a_device() -> None:
    stacking = FrameStacking(4, 0, copies_first=True)
    stored, began, whole = played(stacking, 0)
    assert began[1:].any()
    out = torch.empty(whole.shape, dtype=torch.uint8, device="meta")
    restack(torch.from_numpy(stored).to("meta"), began, stacking, out)  # raises where a value is asked for


def test_a_frame_is_a_view() -> None:
    stacks = np.arange(2 * 3 * 8).reshape(2, 3, 8)
    stacking = FrameStacking(4, 1, copies_first=False)
    newest = frame_of(stacks, stacking, 3, 1)
    assert np.shares_memory(newest, stacks)
    np.testing.assert_array_equal(newest, stacks[:, :, 6:])
    assert frame_spec(ArraySpec((3, 8), "float32"), stacking) == ArraySpec((3, 2), "float32")


def test_a_slot_has_each_frame_once() -> None:
    atari = {"obs": ArraySpec((4, 84, 84), "uint8")}
    stackings = {"obs": FrameStacking(4, 0, copies_first=False)}
    sizes = {"num_policies": 1, "num_groups": 2, "slots_per_group": 3, "rollout": 32, "group_size": 16}
    action = {"action_size": 1, "action_dtype": "int64", "params_size": 6, "state_size": 0}
    whole = slot_specs(SlotShape(obs=atari, **sizes, **action))  # type: ignore[arg-type]
    once = slot_specs(SlotShape(obs=atari, stackings=stackings, **sizes, **action))  # type: ignore[arg-type]
    assert whole["obs.obs"].shape == (6, 33, 16, 4, 84, 84)
    assert once["obs.obs"].shape == (6, 36, 16, 1, 84, 84)
    assert once["group.obs.obs"].shape == (2, 16, 4, 84, 84), "what is acted on"
