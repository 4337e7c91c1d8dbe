"""Distributions and advantages beside Stable-Baselines3's, on random input. Skipped where it is not installed:
`pip install -e ".[compare]"`, or `pip install --no-deps stable-baselines3`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.algorithms.targets import gae
from arl_core.config import RunConfig
from arl_core.models.distributions import make_action_dist

pytest.importorskip("stable_baselines3.common.distributions", reason="stable-baselines3 is not installed")

from stable_baselines3.common import distributions as theirs
from stable_baselines3.common.buffers import RolloutBuffer

ROWS = 50


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_categorical() -> None:
    dist, params = make_action_dist(spaces.Discrete(5)), torch.randn(ROWS, 5)
    other = theirs.CategoricalDistribution(5).proba_distribution(params)
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    torch.testing.assert_close(log_prob, other.log_prob(actions[:, 0]))
    torch.testing.assert_close(dist.entropy(params), other.entropy())
    assert torch.equal(dist.mode(params)[:, 0], other.mode())


def test_multi_categorical() -> None:
    dist, params = make_action_dist(spaces.MultiDiscrete([2, 3, 4])), torch.randn(ROWS, 9)
    other = theirs.MultiCategoricalDistribution([2, 3, 4]).proba_distribution(params)
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    torch.testing.assert_close(log_prob, other.log_prob(actions))
    torch.testing.assert_close(dist.entropy(params), other.entropy())
    assert torch.equal(dist.mode(params), other.mode())


def test_bernoulli() -> None:
    dist, params = make_action_dist(spaces.MultiBinary(4)), torch.randn(ROWS, 4)
    other = theirs.BernoulliDistribution(4).proba_distribution(params)
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    torch.testing.assert_close(log_prob, other.log_prob(actions.float()))
    torch.testing.assert_close(dist.entropy(params), other.entropy())
    assert torch.equal(dist.mode(params).float(), other.mode())


def test_diagonal_gaussian() -> None:
    dist = make_action_dist(spaces.Box(-1, 1, (3,)))
    params = torch.randn(ROWS, 6)
    other = theirs.DiagGaussianDistribution(3).proba_distribution(params[:, :3], params[:, 3:])
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    torch.testing.assert_close(log_prob, other.log_prob(actions))
    torch.testing.assert_close(dist.entropy(params), other.entropy())
    torch.testing.assert_close(dist.mode(params), other.mode())


def test_squashed_gaussian() -> None:
    dist = make_action_dist(spaces.Box(-1, 1, (3,)), RunConfig(tanh_squash=True))
    # they compute log(1 - tanh^2 + epsilon): with their epsilon of 1e-6 and in float32 that is far off where tanh is nearly 1
    params = torch.randn(ROWS, 6, dtype=torch.float64)
    params[:, 3:] -= 1.0
    other = theirs.SquashedDiagGaussianDistribution(3, epsilon=0.0).proba_distribution(params[:, :3], params[:, 3:])
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    torch.testing.assert_close(log_prob, other.log_prob(torch.tanh(actions), actions), atol=1e-4, rtol=1e-6)
    torch.testing.assert_close(torch.tanh(dist.mode(params)), other.mode())
    assert other.entropy() is None  # they have none; ours is checked against samples


def test_advantages() -> None:
    steps, envs, rng = 40, 6, np.random.default_rng(0)
    gamma, lam = 0.97, 0.9
    # A buffer of theirs begins each episode right after the last one ended; ours has a reset row between, so it is cut out.
    rewards, values = rng.normal(size=(2, steps, envs)).astype(np.float32)
    ends = rng.random((steps, envs)) < 0.15
    last_values = rng.normal(size=envs).astype(np.float32)
    buffer: Any = RolloutBuffer(
        steps, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), device="cpu", gae_lambda=lam, gamma=gamma, n_envs=envs
    )
    starts = np.ones(envs)
    for t in range(steps):
        zeros = np.zeros((envs, 1), np.float32)
        buffer.add(zeros, zeros, rewards[t], starts, torch.from_numpy(values[t]), torch.zeros(envs))
        starts = ends[t].astype(np.float32)
    buffer.compute_returns_and_advantage(last_values=torch.from_numpy(last_values), dones=starts)
    for env in range(envs):
        rows: list[tuple[float, float, bool, bool, int]] = []  # reward, value, terminated, valid, their row
        for t in range(steps):
            rows.append((rewards[t, env], values[t, env], bool(ends[t, env]), True, t))
            if ends[t, env]:  # the final observation's value counts for nothing: the episode terminated
                rows.append((0.0, float(rng.normal()), False, False, -1))
        column = [torch.tensor(column).unsqueeze(1) for column in zip(*rows, strict=True)]
        mine = torch.cat((column[1], torch.tensor([[last_values[env]]])))
        none = torch.zeros_like(column[2])
        advantages, returns = gae(column[0], mine, column[2], none, column[3], gamma, lam)
        keep = column[3][:, 0]
        np.testing.assert_allclose(advantages[keep, 0], buffer.advantages[:, env], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(returns[keep, 0], buffer.returns[:, env], rtol=1e-4, atol=1e-5)
