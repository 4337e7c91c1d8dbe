"""Small tasks whose best policy and exact values are known, learnt in seconds by whole serial runs.

Beside them: the bandit and the task that needs memory (`test_learning`), the contextual bandit (tests/algorithms).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from run_support import small

from arl_core import APPO

GAMMA = 0.8
FIELDS: dict[str, Any] = {
    "serial": True, "rollout": 8, "batch_size": 256, "ppo_epochs": 2, "hidden_size": 32, "learning_rate": 1e-2, "gamma": GAMMA,
    "exploration_loss_coeff": 0.003, "ppo_clip_value": 100.0,
}  # fmt: skip
VTRACE: dict[str, Any] = {}
GAE = {"with_vtrace": False, "normalize_returns": True}
PLAIN = {"algo": "a3c", "ppo_epochs": 1}


def learnt(env: Any, frames: int, **fields: Any) -> APPO:
    model = small(env, workers=1, envs=32, **{**FIELDS, **fields})
    assert model.train(frames) == 0
    return model


def outputs(model: APPO, observations: dict[str, Any]) -> tuple[Any, Any]:
    """Most probable actions [n] and values [n]."""
    network = model._trainer.models[0]
    with torch.inference_mode():
        out = network.act({k: torch.as_tensor(v) for k, v in observations.items()}, None, None, deterministic=True)
        return out.actions[:, 0].numpy(), network.denormalize_values(out.value).numpy()


class Chain(gym.Env[Any, Any]):
    """Four places in a row. Action 1 goes right, and from the last place out, which pays 1; action 0 takes 0.2 and ends."""

    places: ClassVar[int] = 4
    observation_space = spaces.Box(0.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def _observation(self) -> Any:
        return np.eye(self.places, dtype=np.float32)[min(self.place, self.places - 1)]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(self.places))
        return self._observation(), {}

    def step(self, action: int) -> Any:
        self.place += int(action)
        out = self.place == self.places
        return self._observation(), 1.0 if out else 0.2 * (action == 0), bool(out or action == 0), False, {}


@pytest.mark.parametrize("fields", [VTRACE, PLAIN])
def test_a_chain_has_its_exact_values(fields: dict[str, Any]) -> None:
    with learnt(Chain, 20_000, **fields) as model:
        actions, values = outputs(model, {"obs": np.eye(4, dtype=np.float32)})
        assert actions.tolist() == [1] * 4  # 0.8^3 = 0.51 from the first place, against 0.2
        np.testing.assert_allclose(values, GAMMA ** np.arange(3, -1, -1), atol=0.08)


class Paid(gym.Env[Any, Any]):
    """Every step pays 1, whatever is done; after five steps the episode is cut off, or `over`."""

    observation_space = spaces.Box(0.0, 1.0, (5,), np.float32)
    action_space = spaces.Discrete(2)
    over = False

    def _observation(self) -> Any:
        return np.eye(5, dtype=np.float32)[min(self.t, 4) if self.over else 0]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action: int) -> Any:
        self.t += 1
        return self._observation(), 1.0, self.t == 5 and self.over, self.t == 5 and not self.over, {}


class PaidUntilOver(Paid):
    over = True


@pytest.mark.parametrize("fields", [VTRACE, GAE])
def test_a_time_limit_does_not_change_what_a_state_is_worth(fields: dict[str, Any]) -> None:
    """Cut off, a state is worth 1 / (1 - gamma) = 5 (Pardo et al. 2018); over, what is left: sums of gamma^k."""
    with learnt(Paid, 10_000, **fields) as model:
        value = outputs(model, {"obs": np.eye(5, dtype=np.float32)[:1]})[1]
        assert value == pytest.approx(1 / (1 - GAMMA), rel=0.05)
    with learnt(PaidUntilOver, 10_000, **fields) as model:
        _, values = outputs(model, {"obs": np.eye(5, dtype=np.float32)})
        left = [sum(GAMMA**k for k in range(5 - t)) for t in range(5)]
        np.testing.assert_allclose(values, left, atol=0.2)


class MaskedBandit(gym.Env[Any, Any]):
    """Four arms of which two are allowed; arm i pays i / 4. Taking one that is not allowed is an error."""

    observation_space = spaces.Dict({"bias": spaces.Box(1, 1, (1,)), "action_mask": spaces.Box(0, 1, (4,), np.int8)})
    action_space = spaces.Discrete(4)

    def _observation(self) -> Any:
        self.mask = np.zeros(4, np.int8)
        self.mask[self.np_random.choice(4, 2, replace=False)] = 1
        return {"bias": np.ones(1, np.float32), "action_mask": self.mask.copy()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action: int) -> Any:
        assert self.mask[action] == 1, f"arm {action} of {self.mask}"
        self.t += 1
        return self._observation(), action / 4, self.t == 4, False, {}


@pytest.mark.parametrize("fields", [GAE])
def test_a_masked_bandit_takes_the_best_of_the_allowed_arms(fields: dict[str, Any]) -> None:
    pairs = list(combinations(range(4), 2))
    with learnt(MaskedBandit, 10_000, **fields) as model:
        mask = np.zeros((len(pairs), 4), np.int8)
        for row, pair in enumerate(pairs):
            mask[row, pair] = 1
        actions, _ = outputs(model, {"bias": np.ones((len(pairs), 1), np.float32), "action_mask": mask})
        assert actions.tolist() == [max(pair) for pair in pairs]
        mean = model._trainer.engine.statistics.episodes.return_mean
        assert mean is not None
        assert mean > 0.92 * 4 * np.mean([max(pair) for pair in pairs]) / 4  # the best policy's; chance is three fifths of it
