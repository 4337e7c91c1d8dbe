"""Batches out of slots: columns (rows of a group) are copied into one contiguous batch, and the slot is given back at once.

Where others play beside the policy, only columns in which it acted are taken, and what others did in them is not valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arl_core.algorithms.batch import TrainingBatch
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import OwnFrames, SlotInbox, SlotShape
from arl_core.learning.stacks import FrameStacks
from arl_core.learning.staging import Staging
from arl_core.models.distributions import ActionDist
from arl_core.models.spaces import ACTION_MASK

_PER_STEP = ("actions", "outputs", "rewards", "terminated", "truncated", "valid")


class BatchAssembler:
    """Collects `columns` trajectories [T+1, columns, ...]. Large slots are split among batches, small ones joined. `pinned`:
    for a GPU."""

    def __init__(
        self,
        arena: Arena,
        shape: SlotShape,
        inbox: SlotInbox,
        columns: int,
        dist: ActionDist,
        policy: int = 0,
        *,
        pinned: bool = False,
    ) -> None:
        self.columns = columns
        self.filled = 0
        self.slot_rows = 0  # columns of the present slot that went into a batch already
        self.slot = -1
        self._inbox = inbox
        self._dist = dist
        self._group_size = shape.group_size
        self._own = OwnFrames(arena, policy)
        names = [*(f"obs.{key}" for key in shape.obs), *_PER_STEP]
        # copied by NumPy, whose calls cost a fraction of torch's: a slot of small observations is ten calls and little else
        self._sources: dict[str, NDArray[Any]] = {name: arena[name] for name in names}
        shapes = {name: ((source.shape[1], columns, *source.shape[3:]), source.dtype) for name, source in self._sources.items()}
        float32 = np.dtype(np.float32)
        derived = {"log_probs": ((shape.rollout, columns), float32), "rnn_state": ((columns, shape.state_size), float32)}
        self._staging = Staging({**shapes, **derived}, pinned=pinned)
        self._copies = self._staging.arrays
        self._batch = {name: self._staging.tensors[name] for name in names}
        self.stacks: FrameStacks | None = None  # of the present batch
        if shape.stackings:
            began = np.zeros((shape.rollout + 1, columns), np.bool_)
            self.stacks = FrameStacks(shape.stackings, began)
            self._batch["began"] = torch.from_numpy(began)
        self._state_source = torch.from_numpy(arena["rnn_state"])
        self._state = self._staging.tensors["rnn_state"] if shape.state_size else None
        self._versions = arena["versions"][policy]
        self._obs_keys = list(shape.obs)
        self.column_versions = np.zeros((shape.rollout, columns), np.int64)

    def add(self, slot: int) -> None:
        """Begin with `slot`, which is ours (TRAINING)."""
        self.slot, self.slot_rows = slot, 0
        self._copy()

    def _copy(self) -> None:
        begin = self.slot_rows
        mine = np.flatnonzero(self._own.mask(self.slot).any(0)) if self._own.shared else None
        available = self._group_size if mine is None else len(mine)
        count = min(available - begin, self.columns - self.filled)
        target = slice(self.filled, self.filled + count)
        part = slice(begin, begin + count) if mine is None else mine[begin : begin + count]
        for name, source in self._sources.items():
            self._copies[name][:, target] = source[self.slot][:, part]
        if self.stacks is not None:  # a step that is not valid here may be another policy's: only the slot knows resets
            np.logical_not(self._sources["valid"][self.slot][:, part], out=self.stacks.began[1:, target])
        if mine is not None:
            self._copies["valid"][:, target] = self._own.mask(self.slot)[:, part]
        if self._state is not None:
            self._state[target] = self._state_source[self.slot][part]
        self.column_versions[:, target] = self._versions[self.slot][:, None]
        self.filled += count
        self.slot_rows += count
        if self.slot_rows == available:
            self._inbox.release(self.slot)
            self.slot = -1

    @property
    def complete(self) -> bool:
        """True when a whole batch has been collected."""
        return self.filled == self.columns

    def take(self) -> TrainingBatch:
        """The batch; its memory is used again by the next `add`, so train on it first. What `stacks` names are frames in it."""
        b = self._batch
        params = b["outputs"][..., :-1]
        mask = b.get(f"obs.{ACTION_MASK}")
        log_probs = self._dist.log_prob(params, b["actions"], None if mask is None else mask[:-1])
        return TrainingBatch(
            obs={key: b[f"obs.{key}"] for key in self._obs_keys},
            actions=b["actions"],
            log_probs=self._staging.tensors["log_probs"].copy_(log_probs),
            values=b["outputs"][..., -1],
            params=params,
            rewards=b["rewards"],
            terminated=b["terminated"],
            truncated=b["truncated"],
            valid=b["valid"],
            rnn_state=self._state,
            storage=self._staging.storage,
        )

    def next_batch(self) -> None:
        """Begin the next batch, with what is left of the present slot."""
        self.filled = 0
        if self.slot >= 0:
            self._copy()

    def drop(self) -> int:
        """Discard what was collected, the rest of the present slot too; returns its number of valid frames."""
        frames = self.staged_frames()
        self.filled = 0
        if self.slot >= 0:
            self._inbox.release(self.slot)
            self.slot = -1
        return frames

    def staged_frames(self) -> int:
        """Valid frames that are collected and not trained on yet."""
        staged = int(self._batch["valid"][:, : self.filled].sum())
        if self.slot >= 0:
            mask = self._own.mask(self.slot)
            rest = mask[:, mask.any(0)] if self._own.shared else mask
            staged += int(rest[:, self.slot_rows :].sum())
        return staged

    def state_dict(self) -> dict[str, Tensor]:
        """What was collected so far (views: copy them before going on), and the place in the present slot."""
        state = {name: rows[:, : self.filled] for name, rows in self._batch.items()}
        if self._state is not None:
            state["rnn_state"] = self._state[: self.filled]
        state["column_versions"] = torch.from_numpy(self.column_versions[:, : self.filled])
        state["cursor"] = torch.tensor([self.filled, self.slot, self.slot_rows])
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Return to a saved state; the present slot's arrays are put back by the caller."""
        self.filled, self.slot, self.slot_rows = (int(x) for x in state["cursor"])
        for name, rows in self._batch.items():
            rows[:, : self.filled] = state[name]
        if self._state is not None:
            self._state[: self.filled] = state["rnn_state"]
        self.column_versions[:, : self.filled] = state["column_versions"].numpy()
