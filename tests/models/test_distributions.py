"""Every distribution against torch.distributions, with masks against renormalised probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch import distributions as D

from arl_core.models.distributions import ActionDist, Categorical, make_action_dist

SIZES = [3, 2, 4]
SPACES: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(4),
    "multi_discrete": spaces.MultiDiscrete(SIZES),
    "multi_binary": spaces.MultiBinary(3),
    "box": spaces.Box(-1, 1, (2, 2)),
}
HAS_MASK = ("discrete", "multi_discrete")


def reference(name: str, params: Tensor, mask: Tensor | None) -> list[D.Distribution]:
    """One distribution for each action column or group of columns."""
    if name == "multi_binary":
        return [D.Independent(D.Bernoulli(logits=params), 1)]
    if name == "box":
        mean, log_std = params.chunk(2, -1)
        return [D.Independent(D.Normal(mean, log_std.exp()), 1)]
    sizes = [4] if name == "discrete" else SIZES
    masks = torch.ones_like(params) if mask is None else mask.to(params.dtype)
    pairs = zip(params.split(sizes, -1), masks.split(sizes, -1), strict=True)
    return [D.Categorical(probs=torch.softmax(logits, -1) * allowed) for logits, allowed in pairs]


def case(name: str, is_masked: bool, rows: tuple[int, ...] = (6, 5)) -> tuple[ActionDist, Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    dist = make_action_dist(SPACES[name])
    params, others = torch.randn(2, *rows, dist.params_size, dtype=torch.float64)
    mask = None
    if is_masked:
        mask = torch.rand(*rows, dist.num_actions_for_mask) > 0.4
        starts = [0] if name == "discrete" else [0, 3, 5]
        mask[..., starts] = True
        mask = mask.to(torch.int8)
    return dist, params, others, mask


CASES = [(name, False) for name in SPACES] + [(name, True) for name in HAS_MASK]


@pytest.mark.parametrize(("name", "is_masked"), CASES)
def test_agrees_with_torch(name: str, is_masked: bool) -> None:
    dist, params, others, mask = case(name, is_masked)
    actions = dist.sample(params, mask)
    log_prob = dist.log_prob(params, actions, mask)
    assert actions.shape == (6, 5, dist.action_size)
    assert actions.dtype == (torch.float64 if name == "box" else dist.action_dtype)
    references = reference(name, params, mask)
    columns = list(actions.unbind(-1)) if name in HAS_MASK else [actions.to(params.dtype)]
    expected = sum(ref.log_prob(column) for ref, column in zip(references, columns, strict=True))
    entropy = sum(ref.entropy() for ref in references)
    if name == "multi_binary":
        entropy = D.Bernoulli(logits=params).entropy().sum(-1)
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(dist.log_prob(params, actions, mask), expected)
    torch.testing.assert_close(dist.entropy(params, mask), entropy)
    both = dist.log_prob_entropy(params, actions, mask)
    torch.testing.assert_close(both, (expected, entropy))
    pairs = zip(references, reference(name, others, mask), strict=True)
    kl = dist.kl(params, others, mask)
    if not is_masked:  # torch gives NaN for two zero probabilities
        torch.testing.assert_close(kl, sum(D.kl_divergence(p, q) for p, q in pairs))
    assert (kl > 0).all()
    torch.testing.assert_close(dist.kl(params, params, mask), torch.zeros(6, 5, dtype=torch.float64))


def test_masked_kl_is_that_of_the_allowed_actions() -> None:
    dist = make_action_dist(spaces.Discrete(4))
    p, q = torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([True, False, True, True])
    allowed = make_action_dist(spaces.Discrete(3)).kl(p[:, mask], q[:, mask])
    torch.testing.assert_close(dist.kl(p, q, mask.expand(5, 4)), allowed)


@pytest.mark.parametrize(("name", "is_masked"), CASES)
def test_the_mode_is_the_most_probable(name: str, is_masked: bool) -> None:
    dist, params, _, mask = case(name, is_masked)
    best = dist.log_prob(params, dist.mode(params, mask), mask)
    for _ in range(20):
        actions = dist.sample(params, mask)
        log_prob = dist.log_prob(params, actions, mask)
        assert (log_prob <= best + 1e-9).all()
        assert dist.mode(params, mask).shape == actions.shape


def test_the_only_allowed_action_is_taken_whatever_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uniform number of exactly 0 comes once in 17 million draws."""
    dist = Categorical(3)
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda noise, generator=None: noise.copy_(torch.tensor([0.0, 0.5, 1 - 2**-24]))
    )
    noise = dist.draw_noise(torch.empty(3))
    assert noise.isfinite().all()
    params, mask = torch.tensor([-5.0, 5.0, 5.0]), torch.tensor([1, 0, 0])
    assert dist.choose(params, mask, noise).item() == 0
    out = np.zeros((1, 1), np.int64)
    dist.choose_numpy_into(out, params.numpy()[None], mask.numpy()[None], noise.numpy()[None])
    assert out.item() == 0


@pytest.mark.parametrize(("name", "is_masked"), CASES)
def test_frequencies_and_seeds(name: str, is_masked: bool) -> None:
    dist, params, _, mask = case(name, is_masked, rows=(1,))
    many = params.float().expand(40_000, -1)
    masks = None if mask is None else mask.expand(40_000, -1)
    actions = dist.sample(many, masks, torch.Generator().manual_seed(7))
    again = dist.sample(many, masks, torch.Generator().manual_seed(7))
    other = dist.sample(many, masks, torch.Generator().manual_seed(8))
    assert torch.equal(actions, again)
    assert not torch.equal(actions, other)
    if name in HAS_MASK:
        for column, ref in zip(actions.unbind(-1), reference(name, params, mask), strict=True):
            assert isinstance(ref, D.Categorical)
            frequencies = torch.bincount(column, minlength=ref.probs.shape[-1]) / 40_000
            torch.testing.assert_close(frequencies.double(), ref.probs[0], atol=0.015, rtol=0)
            assert (frequencies[ref.probs[0] == 0] == 0).all()
    else:
        (ref,) = reference(name, params, mask)
        torch.testing.assert_close(actions.double().mean(0), ref.mean[0], atol=0.05, rtol=0)
        torch.testing.assert_close(actions.double().var(0), ref.variance[0], atol=0.02, rtol=0.05)


@pytest.mark.parametrize("name", HAS_MASK)
def test_a_mask_of_zeros_means_any_action(name: str) -> None:
    dist, params, others, _ = case(name, True)
    params = params.float().requires_grad_()
    mask = torch.zeros(6, 5, dist.num_actions_for_mask)
    actions = dist.sample(params, mask)
    log_prob = dist.log_prob(params, actions, mask)
    sizes = [4] if name == "discrete" else SIZES
    uniform = -torch.tensor(sizes).double().log().sum().float()
    torch.testing.assert_close(log_prob, uniform.expand(6, 5))
    torch.testing.assert_close(dist.entropy(params, mask), -uniform.expand(6, 5))
    assert len(actions[..., -1].unique()) == 4
    total = log_prob + dist.entropy(params, mask) + dist.kl(params, others.float(), mask)
    (grad,) = torch.autograd.grad(total.sum(), params)
    assert (grad == 0).all()


@pytest.mark.parametrize(("name", "is_masked"), CASES)
def test_gradients(name: str, is_masked: bool) -> None:
    dist, params, others, mask = case(name, is_masked, rows=(2, 2))
    actions = dist.sample(params, mask)
    params.requires_grad_()

    def everything(params: Tensor) -> Tensor:
        log_prob, entropy = dist.log_prob_entropy(params, actions, mask)
        return log_prob + 0.3 * entropy + 0.7 * dist.kl(others, params, mask) + dist.kl(params, others, mask)

    assert torch.autograd.gradcheck(everything, (params,))


def test_extreme_logits_stay_finite() -> None:
    dist = make_action_dist(spaces.Discrete(3))
    params = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    log_prob, entropy = dist.log_prob_entropy(params, torch.tensor([[1]]), torch.tensor([[0, 1, 1]]))
    (grad,) = torch.autograd.grad((log_prob + entropy).sum(), params)
    assert log_prob.isfinite().all()
    assert grad.isfinite().all()
    assert grad[0, 0] == 0


def test_sizes() -> None:
    sizes = {name: make_action_dist(space) for name, space in SPACES.items()}
    assert [(d.action_size, d.params_size, d.num_actions_for_mask, d.head_size) for d in sizes.values()] == [
        (1, 4, 4, 4),
        (3, 9, 9, 9),
        (3, 3, 0, 3),
        (4, 8, 0, 4),
    ]
