"""Playing episodes with frozen weights and normalisers: step by step, so that whoever plays may do other things in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.envs.spaces import Squash
from arl_core.interfaces import EnvGroup, EpisodeEnds, StepViews, UserError
from arl_core.models.policy import PolicyNetwork

MAX_EPISODE_STEPS = 1_000_000  # an episode that is longer does not end, for all we know


@dataclass
class Evaluation:
    """Episodes that were played: returns [n], lengths [n], and what the environment reported of each."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, float | int]:
        """Means and deviation."""
        means = {key: float(np.mean(values)) for key, values in sorted(self.metrics.items())}
        return {
            "episodes": len(self.returns),
            "return_mean": float(np.mean(self.returns)),
            "return_std": float(np.std(self.returns)),
            "return_min": float(np.min(self.returns)),
            "return_max": float(np.max(self.returns)),
            "length_mean": float(np.mean(self.lengths)),
            **means,
        }


class Player:
    """A policy over n rows, with its recurrent state."""

    def __init__(self, model: PolicyNetwork, rows: int, seed: int, deterministic: bool) -> None:
        self._model = model
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._state = torch.zeros(rows, model.state_size) if model.state_size else None
        self._squash = Squash(model.dist.squashed) if model.dist.squashed else None

    def act(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Actions [n, A] as environments take them; memory is emptied in rows whose last step was a reset (`valid` False)."""
        with torch.inference_mode():
            if self._state is not None:
                self._state = self._state * torch.from_numpy(valid).unsqueeze(-1)
            tensors = {key: torch.from_numpy(value) for key, value in obs.items()}
            out = self._model.act(tensors, self._state, self._generator, deterministic=self._deterministic)
            self._state = out.state
            actions: NDArray[Any] = out.actions.numpy()
            return actions if self._squash is None else self._squash(actions)


class EpisodesPlay:
    """Plays `episodes` episodes in `group`, from its first episodes on. Each environment plays its fixed share, so that short
    episodes are not counted more often than long ones."""

    def __init__(self, model: PolicyNetwork, group: EnvGroup, episodes: int, seed: int, *, deterministic: bool) -> None:
        rows = group.num_envs
        self.result = Evaluation()
        self._group = group
        self._share = np.full(rows, episodes // rows)
        self._share[: episodes % rows] += 1
        obs = {k: np.zeros((rows, *spec.shape), spec.dtype) for k, spec in group.obs_specs.items()}
        ended, truncated, valid = np.zeros((3, rows), bool)
        self._views = StepViews(obs, np.zeros(rows, np.float32), ended, truncated, valid)
        group.reset_into(obs)
        self._player = Player(model, rows, seed, deterministic)
        self._returns, self._lengths = np.zeros(rows), np.zeros(rows, np.int64)

    def step(self) -> bool:
        """One step of every environment; True when all episodes are played. Raises UserError for one that does not end."""
        views = self._views
        self._group.send(self._player.act(views.obs, views.valid))
        ends = self._group.recv_into(views)
        self._returns += views.rewards
        self._lengths += views.valid
        done = views.terminated | views.truncated
        self._count(done & (self._share > 0), ends)
        self._returns[done], self._lengths[done] = 0.0, 0
        if self._lengths.max() > MAX_EPISODE_STEPS:
            raise UserError(f"an episode has not ended after {MAX_EPISODE_STEPS:,} steps")
        return not self._share.any()

    def _count(self, counted: NDArray[np.bool_], ends: EpisodeEnds | None) -> None:
        for row in np.flatnonzero(counted):
            self.result.returns.append(float(self._returns[row]))
            self.result.lengths.append(int(self._lengths[row]))
        if ends is not None:
            for key, values in ends.metrics.items():
                known = values[counted[ends.rows] & ~np.isnan(values)]
                if known.size:
                    self.result.metrics.setdefault(key, []).extend(known.tolist())
        self._share[counted] -= 1
