"""Terms of the loss: masked means, clipping, gradients."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from arl_core.algorithms.losses import (
    MAX_SYMMETRIC_KL,
    masked_mean,
    masked_variance,
    normalize,
    policy_loss,
    symmetric_kl_to_uniform,
    valid_weights,
    value_loss,
)
from arl_core.algorithms.targets import importance_log_ratio
from arl_core.models.distributions import make_action_dist

SHAPE = (4, 3)


@pytest.fixture
def valid() -> Tensor:
    return torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=torch.bool)


def random(*, seed: int = 0, requires_grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64).requires_grad_(requires_grad)


def weights_of(valid: Tensor) -> Tensor:
    return valid_weights(valid, torch.float64)


def test_means_are_over_valid_entries(valid: Tensor) -> None:
    x, weights = random(), weights_of(valid)
    torch.testing.assert_close(masked_mean(x, weights), x[valid].mean())
    torch.testing.assert_close(masked_variance(x, weights), x[valid].var(unbiased=False))


def test_nothing_valid_gives_zero_and_zero_gradients() -> None:
    x, weights = random(requires_grad=True), weights_of(torch.zeros(SHAPE, dtype=torch.bool))
    total = policy_loss(x.exp(), x.detach(), weights, 0.1) + value_loss(x, x.detach(), x.detach(), weights, 1.0)
    total.backward()
    assert total == 0
    assert x.grad is not None
    assert (x.grad == 0).all()


def test_normalised_advantages(valid: Tensor) -> None:
    advantages = normalize(3.0 + 5.0 * random(), weights_of(valid))
    assert advantages[valid].mean().abs() < 1e-12
    assert (advantages[valid].std(unbiased=False) - 1).abs() < 1e-6
    assert (advantages[~valid] == 0).all()


def test_a_single_advantage_normalises_to_zero() -> None:
    alone = torch.zeros(SHAPE, dtype=torch.bool)
    alone[1, 1] = True
    assert (normalize(random(), weights_of(alone)) == 0).all()


def naive_policy_loss(ratio: np.ndarray, advantages: np.ndarray, valid: np.ndarray, c: float) -> float:
    terms = []
    for index in np.argwhere(valid):
        r, a = ratio[tuple(index)], advantages[tuple(index)]
        clipped = min(max(r, 1 / (1 + c)), 1 + c)
        terms.append(min(r * a, clipped * a))
    return -sum(terms) / len(terms)


def naive_value_loss(values: np.ndarray, old: np.ndarray, targets: np.ndarray, valid: np.ndarray, c: float) -> float:
    terms = []
    for index in map(tuple, np.argwhere(valid)):
        clipped = old[index] + min(max(values[index] - old[index], -c), c)
        terms.append(max((values[index] - targets[index]) ** 2, (clipped - targets[index]) ** 2))
    return sum(terms) / len(terms)


def test_losses_are_their_formulas(valid: Tensor) -> None:
    ratio, advantages, values = random(seed=1).exp(), random(seed=2), random(seed=3)
    weights, where = weights_of(valid), valid.numpy()
    expected = naive_policy_loss(ratio.numpy(), advantages.numpy(), where, 0.2)
    assert policy_loss(ratio, advantages, weights, 0.2).item() == pytest.approx(expected)
    expected = naive_value_loss(values.numpy(), advantages.numpy(), ratio.numpy(), where, 0.5)
    assert value_loss(values, advantages, ratio, weights, 0.5).item() == pytest.approx(expected)


def test_gradients(valid: Tensor) -> None:
    weights, fixed = weights_of(valid), random(seed=5)
    x = random(seed=4, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: policy_loss(x.exp(), fixed, weights, 0.2), (x,))
    assert torch.autograd.gradcheck(lambda x: value_loss(x, fixed, fixed.exp(), weights, 0.3), (x,))


def test_with_ratio_one_the_gradient_is_the_policy_gradient(valid: Tensor) -> None:
    weights, advantages = weights_of(valid), random(seed=6)
    log_probs = random(seed=7, requires_grad=True)
    ratio = importance_log_ratio(log_probs, log_probs.detach(), valid).exp()
    (surrogate,) = torch.autograd.grad(policy_loss(ratio, advantages, weights, 0.1), log_probs)
    (vanilla,) = torch.autograd.grad(-masked_mean(log_probs * advantages, weights), log_probs)
    torch.testing.assert_close(surrogate, vanilla)


@pytest.mark.parametrize(("advantage", "shift", "has_gradient"), [(1, 1, False), (1, -1, True), (-1, 1, True), (-1, -1, False)])
def test_clipping_stops_the_gradient_only_where_it_went_far_enough(advantage: float, shift: float, has_gradient: bool) -> None:
    log_ratio = torch.full((1, 1), float(shift), requires_grad=True)
    policy_loss(log_ratio.exp(), torch.full((1, 1), float(advantage)), torch.ones(1, 1), 0.1).backward()
    assert log_ratio.grad is not None
    assert bool(log_ratio.grad.abs().sum() > 0) is has_gradient


def test_garbage_in_invalid_entries_and_huge_ratios_stay_finite() -> None:
    new = torch.tensor([[500.0, 0.0, -500.0]], requires_grad=True)
    old = torch.tensor([[-500.0, torch.inf, 0.0]])
    valid = torch.tensor([[True, False, True]])
    ratio = importance_log_ratio(new, old, valid).exp()
    policy_loss(ratio, torch.tensor([[1.0, 0.0, -1.0]]), valid_weights(valid), 0.1).backward()
    assert ratio[0, 1] == 1
    assert new.grad is not None
    assert new.grad.isfinite().all()


# --------------------------------------------------------------------------- symmetric KL to the uniform distribution


def naive_symmetric_kl(logits: np.ndarray, mask: np.ndarray | None) -> float:
    """One categorical's, from the definition, over the allowed actions only; a row without any is uniform."""
    if mask is not None and not mask.any():
        return 0.0
    allowed = np.ones(len(logits), bool) if mask is None else mask.astype(bool)
    p = np.exp(logits[allowed] - logits[allowed].max())
    p /= p.sum()
    u = np.full(len(p), 1 / len(p))
    return float(0.5 * np.sum(p * np.log(p / u) + u * np.log(u / p)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sizes", [[5], [2, 3]])
def test_symmetric_kl_is_that_of_the_definition(sizes: list[int], masked: bool) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, sum(sizes))) * 2
    mask = (rng.random(logits.shape) < 0.6).astype(np.int8) if masked else None
    valid = rng.random((3, 4)) < 0.7
    space = spaces.Discrete(sizes[0]) if len(sizes) == 1 else spaces.MultiDiscrete(sizes)
    bounds = np.cumsum([0, *sizes])
    expected = [
        sum(naive_symmetric_kl(logits[t, b, i:j], None if mask is None else mask[t, b, i:j]) for i, j in pairwise(bounds))
        for t, b in np.argwhere(valid)
    ]
    params = torch.from_numpy(logits).requires_grad_()
    weights = valid_weights(torch.from_numpy(valid), torch.float64)
    masks = None if mask is None else torch.from_numpy(mask)
    value = symmetric_kl_to_uniform(make_action_dist(space), params, masks, weights)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-9)
    value.backward()
    assert params.grad is not None
    assert torch.isfinite(params.grad).all()
    assert (params.grad[torch.from_numpy(~valid)] == 0).all()
    if masks is not None:
        assert (params.grad[masks == 0] == 0).all()


def test_symmetric_kl_is_clamped_and_then_pulls_no_more() -> None:
    params = torch.tensor([[[300.0, 0.0]]], requires_grad=True)
    value = symmetric_kl_to_uniform(make_action_dist(spaces.Discrete(2)), params, None, torch.ones(1, 1))
    assert value.item() == MAX_SYMMETRIC_KL
    value.backward()
    assert params.grad is not None
    assert (params.grad == 0).all()


def test_symmetric_kl_of_bits_is_zero_where_they_are_fair() -> None:
    params = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]])
    dist, ones = make_action_dist(spaces.MultiBinary(2)), torch.ones(1, 1)
    assert symmetric_kl_to_uniform(dist, params[:, :1], None, ones).item() == 0.0
    p = 1 / (1 + np.exp(-1.0))
    expected = naive_symmetric_kl(np.log([p, 1 - p]), None)
    assert symmetric_kl_to_uniform(dist, params[:, 1:], None, ones).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_symmetric_kl_of_mixed_actions_takes_each_part_as_it_is(masked: bool) -> None:
    """Discrete parts diverge from uniform, a continuous one has its entropy, wherever it stands among them."""
    space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32), spaces.MultiDiscrete([2, 4])))
    dist = make_action_dist(space)
    rng = np.random.default_rng(1)
    # of the network: logits, means, logits; then the deviations, which are parameters of their own
    params = rng.normal(size=(3, 4, 3 + 2 + 6 + 2))
    mask = np.ones((3, 4, 9), np.int8)
    if masked:
        mask[..., [1, 4, 7]] = rng.integers(0, 2, (3, 4, 3))
    valid = rng.random((3, 4)) < 0.7
    expected = []
    for t, b in np.argwhere(valid):
        row, allowed = params[t, b], mask[t, b]
        kl = sum(naive_symmetric_kl(row[i:j], allowed[k : k + j - i]) for i, j, k in [(0, 3, 0), (5, 7, 3), (7, 11, 5)])
        entropy = sum(0.5 * np.log(2 * np.pi * np.e * np.exp(s) ** 2) for s in row[11:])
        expected.append(kl - entropy)
    given = torch.from_numpy(params).requires_grad_()
    masks = torch.from_numpy(mask) if masked else None
    weights = valid_weights(torch.from_numpy(valid), torch.float64)
    value = symmetric_kl_to_uniform(dist, given, masks, weights)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-9)
    value.backward()
    assert given.grad is not None
    reached = given.grad[torch.from_numpy(valid)].abs().sum(0) > 0
    assert reached.tolist() == [True] * 3 + [False] * 2 + [True] * 8, "all but the means"
