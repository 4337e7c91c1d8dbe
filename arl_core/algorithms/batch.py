"""What the learner trains on."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def action_mask(self) -> Tensor | None:
        """Masks [T, B, M] of the rows with actions, or None."""
        mask = self.obs.get(ACTION_MASK)
        return None if mask is None else mask[: self.valid.shape[0]]

    def columns(self, index: Tensor | slice) -> TrainingBatch:
        """The environments that `index` selects: int64 [b] (copies), or a slice (views)."""
        return TrainingBatch(
            obs={key: rows[:, index] for key, rows in self.obs.items()},
            actions=self.actions[:, index],
            log_probs=self.log_probs[:, index],
            values=self.values[:, index],
            params=self.params[:, index],
            rewards=self.rewards[:, index],
            terminated=self.terminated[:, index],
            truncated=self.truncated[:, index],
            valid=self.valid[:, index],
            rnn_state=None if self.rnn_state is None else self.rnn_state[index],
        )
