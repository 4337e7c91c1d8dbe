"""What the learner trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from arl_core.models.spaces import ACTION_MASK


@dataclass(slots=True)
class TrainingBatch:
    """Trajectories, time-major: T steps of B environments.

    Row t is obs[t], actions[t] -> rewards[t], terminated[t], truncated[t], obs[t+1]. After an ending, obs[t+1] is the
    true final observation, row t+1 is a reset (valid False) and obs[t+2] begins the next episode.
    """

    obs: dict[str, Tensor]  # key -> [T+1, B, ...]
    actions: Tensor  # [T, B, A]
    log_probs: Tensor  # [T, B] float32, of the behaviour policy
    values: Tensor  # [T, B] float32, of the behaviour policy
    params: Tensor  # [T, B, P] float32, of the behaviour policy
    rewards: Tensor  # [T, B] float32, as the environment gave them
    terminated: Tensor  # [T, B] bool
    truncated: Tensor  # [T, B] bool
    valid: Tensor  # [T, B] bool
    rnn_state: Tensor | None = None  # [B, H] before row 0
    bonus: Tensor | None = None  # [T, B] float32, intrinsic rewards
    returns: Tensor | None = None  # [T, B] float32, with `normalize_returns` left here by the loss: its value targets
    storage: Tensor | None = None  # uint8 [nbytes], the memory that the rows are views of, where it is one

    @property
    def action_mask(self) -> Tensor | None:
        """Masks [T, B, M] of the rows with actions, or None."""
        mask = self.obs.get(ACTION_MASK)
        return None if mask is None else mask[: self.valid.shape[0]]

    def columns(self, index: Tensor | slice) -> TrainingBatch:
        """The environments that `index` selects: int64 [b] (copies), or a slice (views)."""
        return self._map(lambda rows: rows[:, index], lambda state: state[index])

    def transitions(self) -> TrainingBatch:
        """The same steps as T * B trajectories of one step each, [1, T * B, ...], without row T and recurrent state: for
        targets that are known already. Views where the batch is contiguous."""
        horizon = self.valid.shape[0]
        return self._map(lambda rows: rows[:horizon].flatten(0, 1).unsqueeze(0), lambda state: state[:0])

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on `device`. A `storage` is moved by one copy, which nobody waits for where its memory is pinned: its
        originals may be overwritten once something of the device was waited for."""
        original = self.storage
        if original is None:
            return self._map(lambda rows: rows.to(device), lambda state: state.to(device))
        storage = original.to(device, non_blocking=True, copy=True)
        move = partial(_view_in, storage, original)
        return self._map(move, move)

    def _map(self, of_rows: Callable[[Tensor], Tensor], of_state: Callable[[Tensor], Tensor]) -> TrainingBatch:
        return TrainingBatch(
            obs={key: of_rows(rows) for key, rows in self.obs.items()},
            actions=of_rows(self.actions),
            log_probs=of_rows(self.log_probs),
            values=of_rows(self.values),
            params=of_rows(self.params),
            rewards=of_rows(self.rewards),
            terminated=of_rows(self.terminated),
            truncated=of_rows(self.truncated),
            valid=of_rows(self.valid),
            rnn_state=None if self.rnn_state is None else of_state(self.rnn_state),
            bonus=None if self.bonus is None else of_rows(self.bonus),
            returns=None if self.returns is None else of_rows(self.returns),
        )


def _view_in(storage: Tensor, original: Tensor, view: Tensor) -> Tensor:
    """Of `storage`, a copy of `original` [nbytes], the same view as `view` is of `original`; a copy of what lies elsewhere."""
    if view.untyped_storage().data_ptr() != original.untyped_storage().data_ptr():
        return view.to(storage.device)
    empty = torch.empty(0, dtype=view.dtype, device=storage.device)
    return empty.set_(storage.untyped_storage(), view.storage_offset(), view.size(), view.stride())
