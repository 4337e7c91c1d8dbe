"""V-trace and GAE against the sums of the papers, written out term by term."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from arl_core.algorithms.targets import discounted_suffix_sums, gae, vtrace

GAMMA = 0.9


def trajectories(seed: int, horizon: int = 13, columns: int = 5) -> dict[str, Any]:
    """Random rows, endings followed by invalid resets (but where `seed` is odd: the trace is cut there by itself), further
    invalid rows, garbage in all of those."""
    rng = np.random.default_rng(seed)
    terminated, truncated = rng.random((2, horizon, columns)) < 0.15
    valid = rng.random((horizon, columns)) > 0.1
    for t in range(1, horizon if seed % 2 == 0 else 0):
        valid[t] &= ~(terminated[t - 1] | truncated[t - 1])
    rewards = np.where(valid, rng.normal(size=(horizon, columns)), np.nan)
    return {
        "rewards": rewards,
        "values": rng.normal(size=(horizon + 1, columns)),
        "terminated": terminated,
        "truncated": truncated,
        "valid": valid,
        "log_pi": rng.normal(size=(horizon, columns)),
        "log_mu": np.where(valid, rng.normal(size=(horizon, columns)), np.inf),
    }


def continues(data: dict[str, Any], t: int, b: int) -> bool:
    """Whether the trace runs on from row t to row t+1."""
    is_end = data["terminated"][t, b] or data["truncated"][t, b]
    return not is_end and t + 1 < len(data["rewards"]) and data["valid"][t + 1, b]


def td_error(data: dict[str, Any], t: int, b: int) -> float:
    bootstrap = 0.0 if data["terminated"][t, b] else data["values"][t + 1, b]
    return float(data["rewards"][t, b] + GAMMA * bootstrap - data["values"][t, b])


def naive_gae(data: dict[str, Any], lam: float) -> np.ndarray:
    advantages = np.zeros_like(data["rewards"])
    for t, b in np.argwhere(data["valid"]):
        k = t
        while True:
            advantages[t, b] += (GAMMA * lam) ** (k - t) * td_error(data, k, b)
            if not continues(data, k, b):
                break
            k += 1
    return advantages


def naive_vtrace(data: dict[str, Any], rho_clip: float, c_clip: float) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(over="ignore"):
        ratio = np.exp(data["log_pi"] - data["log_mu"])
    rho, c = np.minimum(ratio, rho_clip), np.minimum(ratio, c_clip)
    values = data["values"]
    targets, advantages = values[:-1].copy(), np.zeros_like(values[:-1])
    for t, b in np.argwhere(data["valid"]):
        k = t
        while True:
            targets[t, b] += GAMMA ** (k - t) * np.prod(c[t:k, b]) * rho[k, b] * td_error(data, k, b)
            if not continues(data, k, b):
                break
            k += 1
    for t, b in np.argwhere(data["valid"]):
        bootstrap = targets[t + 1, b] if continues(data, t, b) else values[t + 1, b]
        if data["terminated"][t, b]:
            bootstrap = 0.0
        advantages[t, b] = rho[t, b] * (data["rewards"][t, b] + GAMMA * bootstrap - values[t, b])
    return advantages, targets


def tensors(data: dict[str, Any], *names: str) -> list[torch.Tensor]:
    return [torch.from_numpy(data[name]) for name in names]


def run_vtrace(data: dict[str, Any], rho_clip: float, c_clip: float) -> tuple[torch.Tensor, torch.Tensor]:
    names = ("log_pi", "log_mu", "rewards", "values", "terminated", "truncated", "valid")
    return vtrace(*tensors(data, *names), GAMMA, rho_clip, c_clip)


def run_gae(data: dict[str, Any], lam: float) -> tuple[torch.Tensor, torch.Tensor]:
    return gae(*tensors(data, "rewards", "values", "terminated", "truncated", "valid"), GAMMA, lam)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("rho_clip", "c_clip"), [(1.0, 1.0), (1.5, 0.7), (np.inf, np.inf)])
def test_vtrace_is_the_sum_of_the_paper(seed: int, rho_clip: float, c_clip: float) -> None:
    data = trajectories(seed)
    advantages, targets = run_vtrace(data, rho_clip, c_clip)
    expected_advantages, expected_targets = naive_vtrace(data, rho_clip, c_clip)
    np.testing.assert_allclose(targets, expected_targets, rtol=1e-10)
    np.testing.assert_allclose(advantages, expected_advantages, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
def test_gae_is_the_sum_of_the_paper(seed: int, lam: float) -> None:
    data = trajectories(seed)
    advantages, returns = run_gae(data, lam)
    expected = naive_gae(data, lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(returns, expected + data["values"][:-1], rtol=1e-10, atol=1e-12)


def test_invalid_rows_have_advantage_zero_and_their_own_value_as_target() -> None:
    data = trajectories(3)
    invalid = torch.from_numpy(~data["valid"])
    values = torch.from_numpy(data["values"])[:-1]
    for advantages, targets in (run_vtrace(data, 1.0, 1.0), run_gae(data, 0.9)):
        assert invalid.any()
        assert (advantages[invalid] == 0).all()
        assert torch.equal(targets[invalid], values[invalid])


def endless(horizon: int = 8) -> dict[str, Any]:
    data = trajectories(0, horizon, 2)
    data["terminated"][:] = data["truncated"][:] = False
    data["valid"][:] = True
    data["rewards"] = np.random.default_rng(1).normal(size=(horizon, 2))
    data["log_mu"] = data["log_pi"]
    return data


def discounted_return(data: dict[str, Any], t: int, bootstrap: np.ndarray) -> np.ndarray:
    rewards = data["rewards"][t:]
    total = sum(GAMMA**k * reward for k, reward in enumerate(rewards))
    return np.asarray(total + GAMMA ** len(rewards) * bootstrap)


def test_gae_with_lambda_one_is_monte_carlo() -> None:
    data = endless()
    data["terminated"][-1] = True
    _, returns = run_gae(data, 1.0)
    for t in range(8):
        np.testing.assert_allclose(returns[t], discounted_return(data, t, np.zeros(2)))


def test_truncation_bootstraps_from_the_final_observation_and_termination_does_not() -> None:
    data = endless()
    data["truncated"][-1] = True
    for bootstrap, is_terminated in ((data["values"][-1], False), (np.zeros(2), True)):
        data["terminated"][-1] = is_terminated
        _, returns = run_gae(data, 1.0)
        _, targets = run_vtrace(data, 1.0, 1.0)
        np.testing.assert_allclose(returns[0], discounted_return(data, 0, bootstrap))
        np.testing.assert_allclose(targets[0], discounted_return(data, 0, bootstrap))


def test_on_policy_vtrace_is_the_n_step_return() -> None:
    data = endless()
    advantages, targets = run_vtrace(data, np.inf, np.inf)
    for t in range(8):
        expected = discounted_return(data, t, data["values"][-1])
        np.testing.assert_allclose(targets[t], expected)
        np.testing.assert_allclose(advantages[t], expected - data["values"][t])


@pytest.mark.parametrize("horizon", [1, 2, 3, 7, 8, 33])
def test_suffix_sums_are_the_recursion(horizon: int) -> None:
    generator = torch.Generator().manual_seed(horizon)
    terms, weights = torch.rand(2, horizon, 3, generator=generator, dtype=torch.float64)
    expected, row = [], torch.zeros(3, dtype=torch.float64)
    for t in reversed(range(horizon)):
        row = terms[t] + weights[t] * row
        expected.insert(0, row)
    before = terms.clone(), weights.clone()
    torch.testing.assert_close(discounted_suffix_sums(terms, weights), torch.stack(expected))
    assert torch.equal(terms, before[0])
    assert torch.equal(weights, before[1])


def test_targets_carry_no_gradient() -> None:
    data = endless()
    values = torch.from_numpy(data["values"]).requires_grad_()
    data_tensors = tensors(data, "terminated", "truncated", "valid")
    advantages, returns = gae(torch.from_numpy(data["rewards"]), values, *data_tensors, GAMMA, 0.9)
    assert not advantages.requires_grad
    assert not returns.requires_grad
