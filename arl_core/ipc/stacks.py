"""Stacks of frames that are stored once: a slot holds the newest frame of each observation, batches have whole stacks again.

Beside its T + 1 newest frames a slot has the k - 1 frames before them, so that frame j of the stack in row t is frame t + j
of the slot: a stack of k frames costs 1 + (k - 1) / (T + 1) frames of memory. Where an episode began less than k rows
before, its older frames are not those of the episode before but what `FrameStacking.copies_first` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, FrameStacking


def frame_spec(stack: ArraySpec, stacking: FrameStacking) -> ArraySpec:
    """Shape and dtype of one frame of a stack."""
    shape = list(stack.shape)
    shape[stacking.axis] //= stacking.frames
    return ArraySpec(tuple(shape), stack.dtype)


def frame_of(stacks: Any, stacking: FrameStacking, number: int, batch_axes: int) -> Any:
    """The view of frame `number` (0: the oldest) of `stacks`, array or tensor with `batch_axes` axes before a stack's own."""
    axis = batch_axes + stacking.axis
    width = stacks.shape[axis] // stacking.frames
    return stacks[(slice(None),) * axis + (slice(number * width, (number + 1) * width),)]


def restack(frames: Any, began: NDArray[np.bool_], stacking: FrameStacking, out: Any) -> None:
    """Write the stacks of the last N of R rows into `out` [N, E, *stack]: arrays, or tensors of any device.

    `frames` [R + k - 1, E, *frame] are those R rows' newest frames, after the k - 1 before them. `began` [R, E]: the row is an
    episode's first; where row 0 is one, the k - 1 frames before it are those of its stack already.
    """
    k, rows, wanted = stacking.frames, len(began), slice(len(began) - len(out), None)
    for number in range(k):
        frame_of(out, stacking, number, 2)[:] = frames[number : number + rows][wanted]
    if not began[1:].any():
        return
    row = np.arange(rows)[:, None]
    first = np.maximum.accumulate(np.where(began & (row > 0), row, -k))  # of the row's episode, where it began in here
    row, first = row[wanted], first[wanted]
    for number in range(k - 1):
        age = k - 1 - number
        at, column = np.nonzero(first > row - age)
        before_it = frames[first[at, column] + k - 1, column] if stacking.copies_first else 0
        frame_of(out, stacking, number, 2)[at, column] = before_it
