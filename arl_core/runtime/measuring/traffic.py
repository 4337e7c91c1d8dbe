"""Bytes that a frame moves, from the one table of shared arrays."""

from __future__ import annotations

import math

import numpy as np

from arl_core.interfaces import ArraySpec
from arl_core.ipc.slots import SlotShape, slot_specs

_PER_SLOT = ("slot.", "group.", "versions", "rnn_state")  # not for each row


def traffic(shape: SlotShape) -> dict[str, float]:
    """Bytes per frame: `slot` is written into slots by the sampler, `batch` copied out of them by the learner. `stacks` are
    written whole besides, of observations of which slots have frames: once to be acted on, once more for the batch.

    `least` is the bytes of one transition (an observation, an action, what the policy said, reward and flags): what slot and
    batch have to move at least. They are more by the last observation of each trajectory, 1/T, and a stack's first frames.
    """
    specs = slot_specs(shape)
    frames = shape.num_slots * shape.rollout * shape.group_size
    per_row = {name: spec for name, spec in specs.items() if not name.startswith(_PER_SLOT)}
    written = sum(map(_size, per_row.values())) / frames
    first = sum(_size(spec) * (1 - shape.rollout / spec.shape[1]) for name, spec in per_row.items() if name.startswith("obs."))
    state = _size(specs["rnn_state"]) / frames
    stacks = sum(_size(shape.obs[key]) for key in shape.stackings)
    return {"slot": written + state, "batch": written + state, "least": written - first / frames, "stacks": float(stacks)}


def _size(spec: ArraySpec) -> int:
    return math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
