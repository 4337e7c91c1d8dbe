"""Playing episodes with frozen weights and normalisers: step by step, so that whoever plays may do other things in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.envs.faults import EnvironmentFault
from arl_core.envs.spaces import Squash
from arl_core.interfaces import EnvGroup, EpisodeEnds, StepViews, UserError
from arl_core.models.policy import PolicyNetwork
from arl_core.models.preprocess import OutsideSpace

MAX_EPISODE_STEPS = 1_000_000  # an episode that is longer does not end, for all we know


@dataclass
class Evaluation:
    """Episodes that were played, one entry an agent: returns [n], lengths [n], policies [n], and what the environment
    reported."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    policies: list[int] = field(default_factory=list)  # who played
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
            **self._by_policy(),
            **means,
        }

    def per_episode(self) -> dict[str, list[Any]]:
        """The figures of each, in the order in which they ended."""
        return {"returns": list(self.returns), "lengths": list(self.lengths)}

    def _by_policy(self) -> dict[str, float]:
        """Mean return of each policy, where several play."""
        policies = np.array(self.policies)
        numbers = np.unique(policies)
        if len(numbers) < 2:
            return {}
        return {f"policy_{n}/return_mean": float(np.mean(np.array(self.returns)[policies == n])) for n in numbers}


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
                self._state = self._state.masked_fill(torch.from_numpy(~valid).unsqueeze(-1), 0.0)
            tensors = {key: torch.from_numpy(value) for key, value in obs.items()}
            out = self._model.act(tensors, self._state, self._generator, deterministic=self._deterministic)
            self._state = out.state
            actions: NDArray[Any] = out.actions.numpy()
            return actions if self._squash is None else self._squash(actions)


class Cast:
    """Who plays an evaluation: `models`, and `agents`, which of them plays each agent of an environment (the one that it has).
    `numbers` are the policies that the models are; None: 0, 1, ..."""

    def __init__(
        self, models: Sequence[PolicyNetwork], agents: Sequence[int] = (0,), numbers: Sequence[int] | None = None
    ) -> None:
        self.models = models
        self.agents = tuple(agents)
        self.numbers = tuple(range(len(models))) if numbers is None else tuple(numbers)

    def players(self, environments: int, seed: int, *, deterministic: bool) -> list[tuple[NDArray[np.intp], Player]]:
        """A player for each model that plays, with its rows among those of `environments`."""
        rows = np.tile(self.agents, environments)
        found = []
        for number in sorted(set(self.agents)):
            mine = np.flatnonzero(rows == number)
            found.append((mine, Player(self.models[number], len(mine), seed + number, deterministic)))
        return found


class EpisodesPlay:
    """Plays `episodes` episodes in `group`, from its first episodes on. Each environment plays its fixed share, so that short
    episodes are not counted more often than long ones. An episode has a return and a length for each agent."""

    def __init__(self, cast: Cast, group: EnvGroup, episodes: int, seed: int, *, deterministic: bool) -> None:
        rows = group.num_envs
        self.result = Evaluation()
        self._group = group
        self._num_agents = len(cast.agents)
        environments = rows // self._num_agents
        self._share = np.full(environments, episodes // environments)
        self._share[: episodes % environments] += 1
        self._policies = np.tile([cast.numbers[model] for model in cast.agents], environments)
        obs = {k: np.zeros((rows, *spec.shape), spec.dtype) for k, spec in group.obs_specs.items()}
        ended, truncated, valid = np.zeros((3, rows), bool)
        self._views = StepViews(obs, np.zeros(rows, np.float32), ended, truncated, valid)
        group.reset_into(obs)
        self._players = cast.players(environments, seed, deterministic=deterministic)
        self._returns, self._lengths = np.zeros(rows), np.zeros(rows, np.int64)

    def step(self) -> bool:
        """One step of every environment; True when all episodes are played. Raises UserError for one that does not end,
        EnvironmentFault for an environment that breaks its contract."""
        views = self._views
        try:
            actions = self._actions()
        except OutsideSpace as error:
            raise EnvironmentFault(f"an environment of the evaluation broke its contract: {error}") from None
        self._group.send(actions)
        ends = self._group.recv_into(views)
        self._check_finite()
        self._returns += views.rewards
        self._lengths += views.valid
        done = views.terminated | views.truncated
        self._count(done & np.repeat(self._share > 0, self._num_agents), ends)
        over = ~views.valid if self._num_agents > 1 else done  # of several agents: all rows of the step that resets
        self._share -= over.reshape(-1, self._num_agents).all(1) & (self._share > 0)
        self._returns[done], self._lengths[done] = 0.0, 0
        if self._lengths.max() > MAX_EPISODE_STEPS:
            raise UserError(f"an episode has not ended after {MAX_EPISODE_STEPS:,} steps")
        return not self._share.any()

    def _check_finite(self) -> None:
        """Raise EnvironmentFault for what training refuses too: its mean would say nothing, or the policy acted on nothing."""
        named = [("a reward", self._views.rewards)]
        named += [(f"an observation '{key}'", value) for key, value in self._views.obs.items() if value.dtype.kind == "f"]
        for name, values in named:
            if not np.isfinite(values).all():
                first = tuple(np.argwhere(~np.isfinite(values))[0])
                row, who = first[0], f"environment {first[0] // self._num_agents} of the evaluation"
                raise EnvironmentFault(
                    f"{who} gave {name} that is not finite ({values[first]}), {self._lengths[row]} steps into its episode"
                )

    def _actions(self) -> NDArray[Any]:
        """Actions [rows, A] of every player."""
        views = self._views
        if len(self._players) == 1:
            return self._players[0][1].act(views.obs, views.valid)
        chosen = [
            (rows, player.act({key: value[rows] for key, value in views.obs.items()}, views.valid[rows]))
            for rows, player in self._players
        ]
        actions = np.empty((self._group.num_envs, chosen[0][1].shape[1]), chosen[0][1].dtype)
        for rows, values in chosen:
            actions[rows] = values
        return actions

    def _count(self, counted: NDArray[np.bool_], ends: EpisodeEnds | None) -> None:
        for row in np.flatnonzero(counted):
            self.result.returns.append(float(self._returns[row]))
            self.result.policies.append(int(self._policies[row]))
            self.result.lengths.append(int(self._lengths[row]))
        if ends is not None:
            for key, values in ends.metrics.items():
                known = values[counted[ends.rows] & ~np.isnan(values)]
                if known.size:
                    self.result.metrics.setdefault(key, []).extend(known.tolist())
