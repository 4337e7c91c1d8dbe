"""Box actions: deviations free or from the network, their limits, tanh."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from pydantic import ValidationError
from torch import Tensor
from torch import distributions as D

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.dense_numpy import dense_policy
from arl_core.models.distributions import make_action_dist
from arl_core.models.encoders import MlpEncoder
from arl_core.models.flat import flatten_module
from arl_core.models.gaussian import log_tanh_slope

BOX = spaces.Box(-1, 1, (2,))
OBS = spaces.Box(-1, 1, (4,))
SQUASHED = RunConfig(tanh_squash=True)


def make(**options: Any) -> ActorCritic:
    torch.manual_seed(3)
    return ActorCritic(OBS, BOX, RunConfig(hidden_size=16, **options), MlpEncoder)


def reference(params: Tensor) -> D.Distribution:
    mean, log_std = params.chunk(2, -1)
    normal = D.Normal(mean, log_std.exp())
    return D.Independent(D.TransformedDistribution(normal, D.TanhTransform(cache_size=1)), 1)


def test_adaptive_deviations_depend_on_the_observation() -> None:
    model = make(adaptive_stddev=True, initial_stddev=0.5)
    assert model.free_params is None
    assert model.dist.free_size == 0
    obs = {"obs": 3 * torch.randn(3, 4, 4)}
    valid = torch.ones(3, 4, dtype=torch.bool)
    params, _ = model.evaluate(obs, None, valid)
    stddevs = params[..., 2:].exp()
    torch.testing.assert_close(stddevs, torch.full((3, 4, 2), 0.5), atol=0.02, rtol=0)  # the head's weights are small
    assert stddevs.std() > 0
    free, _ = make(initial_stddev=0.5).evaluate(obs, None, valid)
    assert free[..., 2:].std() == 0


@pytest.mark.parametrize("options", [{"adaptive_stddev": True}, {"tanh_squash": True}])
def test_numpy_acts_as_torch_does(options: dict[str, Any]) -> None:
    model = make(**options)
    flatten_module(model)
    policy = dense_policy(model)
    assert policy is not None
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected, found = torch.zeros(5, 5), np.zeros((5, 5), np.float32)
    with torch.inference_mode():
        model.outputs_into({"obs": torch.from_numpy(obs)}, None, expected)
    policy.outputs_into({"obs": obs}, found)
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=2e-6)


def test_deviations_have_limits() -> None:
    dist = make_action_dist(BOX, RunConfig(min_stddev=0.1, adaptive_stddev=True))
    params = torch.tensor([[0.0, 0.0, -50.0, 200.0]])
    noise = torch.ones(1, 2)
    torch.testing.assert_close(dist.choose(params, None, noise), torch.tensor([[0.1, 1e4]]))
    found = np.zeros((1, 2), np.float32)
    dist.choose_numpy_into(found, params.numpy(), None, noise.numpy())
    np.testing.assert_allclose(found, [[0.1, 1e4]], rtol=1e-5)
    expected = D.Normal(torch.zeros(2), torch.tensor([0.1, 1e4])).log_prob(torch.ones(2)).sum()
    torch.testing.assert_close(dist.log_prob(params, torch.ones(1, 2)), expected.view(1))
    with pytest.raises(ValidationError, match="must not be less than min_stddev"):
        RunConfig(initial_stddev=0.01, min_stddev=0.1)


@pytest.mark.parametrize("actions", [BOX, spaces.Tuple((spaces.Discrete(2), BOX))])
def test_free_deviations_have_them_where_numpy_acts(actions: spaces.Space[Any]) -> None:
    model = ActorCritic(OBS, actions, RunConfig(hidden_size=16, min_stddev=0.1), MlpEncoder)
    flatten_module(model)
    policy = dense_policy(model)
    assert policy is not None
    assert model.free_params is not None
    with torch.no_grad():
        model.free_params.copy_(torch.tensor([-50.0, 200.0]))
    policy.refresh()
    outputs = np.zeros((1, model.dist.params_size + 1), np.float32)
    policy.outputs_into({"obs": np.zeros((1, 4), np.float32)}, outputs)
    noise = np.ones((1, model.dist.noise_size), np.float32)
    found = np.zeros((1, model.dist.action_size), np.float32)
    policy.choose_into(found, outputs[:, :-1], None, noise)
    params = torch.cat((torch.from_numpy(outputs[:, : model.dist.head_size]), model.free_params.detach().view(1, 2)), -1)
    expected = model.dist.choose(params, None, torch.from_numpy(noise))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)
    assert found[0, -1] == pytest.approx(1e4, rel=1e-3)


def test_squashed_log_probabilities_are_those_of_torch() -> None:
    torch.manual_seed(0)
    dist = make_action_dist(BOX, SQUASHED)
    params = torch.randn(6, 5, 4, dtype=torch.float64)
    actions = dist.sample(params)
    log_prob = dist.log_prob(params, actions)
    expected = reference(params).log_prob(torch.tanh(actions))
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(dist.mode(params), params[..., :2])


def test_squashed_entropies_are_those_of_many_samples() -> None:
    torch.manual_seed(0)
    dist = make_action_dist(BOX, SQUASHED)
    params = torch.tensor([[0.0, 0.5, -1.0, 0.0], [2.0, -3.0, 0.7, -2.0], [0.0, 0.0, 1.5, 1.0]])
    many = params.expand(400_000, 3, 4)
    log_prob = dist.log_prob(many, dist.sample(many))
    sampled = -log_prob.mean(0)
    torch.testing.assert_close(dist.entropy(params)[:2], sampled[:2], atol=0.01, rtol=0)
    torch.testing.assert_close(dist.entropy(params)[2], sampled[2], atol=0, rtol=0.03)  # deviations 4.5 and 2.7
    assert (dist.entropy(params) <= 2 * math.log(2.0) + 1e-3).all(), "nothing in [-1, 1]^2 has more than the uniform"


def test_squashed_gradients_and_kl() -> None:
    torch.manual_seed(0)
    dist, plain = make_action_dist(BOX, SQUASHED), make_action_dist(BOX)
    params, others = torch.randn(2, 3, 4, dtype=torch.float64)
    actions = dist.sample(params)
    torch.testing.assert_close(dist.kl(params, others), plain.kl(params, others))
    params.requires_grad_()

    def both(params: Tensor) -> Tensor:
        log_prob, entropy = dist.log_prob_entropy(params, actions)
        return log_prob + entropy

    assert torch.autograd.gradcheck(both, (params,))


def test_the_slope_of_tanh_is_exact_where_tanh_is_one() -> None:
    x = torch.tensor([-30.0, -1.0, 0.0, 2.0, 40.0], requires_grad=True)
    slope = log_tanh_slope(x)
    exact = torch.log1p(-(torch.tanh(x.detach().double()) ** 2))
    torch.testing.assert_close(slope[1:4].double(), exact[1:4], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(slope[[0, 4]], torch.tensor([-58.6137, -78.6137]))
    (grad,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(grad, -2 * torch.tanh(x.detach()))


@pytest.mark.parametrize("box", [spaces.Box(-np.inf, 1.0, (2,)), spaces.Box(-3.4e38, 3.4e38, (2,))])
def test_squashing_needs_bounds(box: spaces.Box) -> None:
    with pytest.raises(UserError, match="tanh_squash needs finite bounds; action is Box"):
        make_action_dist(box, SQUASHED)
    with pytest.raises(UserError, match=r"'a\.0' is Box"):
        make_action_dist(spaces.Dict({"a": spaces.Tuple((box,))}), SQUASHED)
    assert make_action_dist(box).params_size == 2 * math.prod(box.shape)
