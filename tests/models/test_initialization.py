"""Initial weights and spectral norms have the effect that their names promise."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core import APPO
from arl_core.config import RunConfig
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.dense_numpy import dense_policy
from arl_core.models.encoders import default_encoder
from arl_core.models.flat import flatten_module

OBS = spaces.Dict({"image": spaces.Box(0, 1, (1, 12, 12)), "x": spaces.Box(-1, 1, (4,))})


def make(obs: spaces.Space[Any] = OBS, **options: Any) -> ActorCritic:
    torch.manual_seed(3)
    cfg = RunConfig(hidden_size=16, use_rnn=True, **options)
    return ActorCritic(obs, spaces.Box(-1, 1, (2,)), cfg, default_encoder)


def weights(model: ActorCritic) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if "weight" in name and "head" not in name}


def test_a_gain_is_a_factor() -> None:
    plain, double = make(), make(policy_init_gain=2.0)
    for name, weight in weights(plain).items():
        torch.testing.assert_close(weights(double)[name], 2 * weight)
    torch.testing.assert_close(double.actor.head.weight, 2 * plain.actor.head.weight)
    for kind in ("xavier_uniform", "torch_default"):
        one, other = make(policy_initialization=kind), make(policy_initialization=kind, policy_init_gain=0.5)
        for name, weight in weights(one).items():
            torch.testing.assert_close(weights(other)[name], 0.5 * weight)


def test_orthogonal() -> None:
    model = make()
    (layer, _), *_ = model.actor.encoder.rest.mlp.weights
    torch.testing.assert_close(layer.T @ layer, 2 * torch.eye(4))


def test_xavier_uniform() -> None:
    model = make(policy_initialization="xavier_uniform")
    for name, weight in weights(model).items():
        inputs, outputs = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
        bound = math.sqrt(6 / (inputs + outputs))
        assert 0.9 * bound < weight.abs().max() <= bound, name
    assert all(not p.any() for name, p in model.named_parameters() if "bias" in name and p.ndim == 1 and "head" not in name)


def test_torch_default() -> None:
    model = make(policy_initialization="torch_default")
    for layer in model.actor.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer is not model.actor.head:
            bound = 1 / math.sqrt(layer.weight[0].numel())
            assert 0.8 * bound < layer.weight.abs().max() <= bound
            assert layer.bias is not None
            assert 0 < layer.bias.abs().max() <= bound
    cell = model.actor.core.cells[0]
    assert 0 < cell.bias_hh.abs().max() <= 1 / math.sqrt(16)


@pytest.mark.parametrize("kind", ["orthogonal", "xavier_uniform", "torch_default"])
def test_the_first_policy_is_nearly_the_same_everywhere(kind: str) -> None:
    model = make(policy_initialization=kind, initial_stddev=0.5)
    head = model.actor.head.weight
    assert head[:2].norm() < 0.05 * head[2].norm()
    assert not model.actor.head.bias[:2].any()
    assert model.free_params is not None
    torch.testing.assert_close(model.free_params.exp(), torch.full((2,), 0.5))


def spectral(**options: Any) -> ActorCritic:
    torch.manual_seed(3)
    cfg = RunConfig(hidden_size=16, use_spectral_norm=True, policy_init_gain=3.0, **options)
    return ActorCritic(spaces.Box(-1, 1, (4,)), spaces.Discrete(3), cfg, default_encoder)


def test_spectral_norms_are_one() -> None:
    model = spectral()
    obs, valid = {"obs": torch.randn(3, 5, 4)}, torch.ones(3, 5, dtype=torch.bool)
    for _ in range(20):
        model.evaluate(obs, None, valid)
    for layer in model.actor.encoder.mlp.layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1.0, abs=1e-3)
        assert torch.linalg.matrix_norm(layer.parametrizations.weight.original, 2) > 3.0
    assert dense_policy(model) is None  # which knows nothing of it


def test_spectral_norms_stand_still_in_evaluation_mode() -> None:
    model = spectral().eval()
    before = copy.deepcopy(model.state_dict())
    model.evaluate({"obs": torch.randn(3, 5, 4)}, None, torch.ones(3, 5, dtype=torch.bool))  # with gradients
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_spectral_norms_reach_the_actors_through_flat_memory() -> None:
    learner, actor = spectral(), spectral()
    obs, valid = {"obs": torch.randn(3, 5, 4)}, torch.ones(3, 5, dtype=torch.bool)
    mine, theirs = flatten_module(learner), flatten_module(actor)
    for _ in range(3):
        params, values = learner.evaluate(obs, None, valid)
        (params.square().sum() + values.sum()).backward()  # type: ignore[no-untyped-call]
        assert mine.grads.any()
        mine.params.add_(mine.grads, alpha=-0.1)
        mine.zero_grad()
    buf = torch.empty(mine.nbytes, dtype=torch.uint8)
    mine.write_to(buf)
    theirs.read_from(buf)
    with torch.no_grad():
        expected = learner.evaluate(obs, None, valid)
    with torch.inference_mode():
        found = [actor.act({"obs": obs["obs"][t]}, None, None) for t in range(3)]
    torch.testing.assert_close(torch.stack([row.value for row in found]), expected[1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(torch.stack([row.params for row in found]), expected[0], atol=1e-6, rtol=1e-5)
    before = copy.deepcopy(actor.state_dict())
    with torch.inference_mode():
        actor.act({"obs": obs["obs"][0]}, None, None)
    assert all(torch.equal(before[key], value) for key, value in actor.state_dict().items()), "acting changes nothing"


@pytest.mark.parametrize("fields", [{}, {"actor_critic_share_weights": False}])
def test_a_run_with_spectral_norms_saves_and_loads(tmp_path: Any, fields: dict[str, Any]) -> None:
    fields = {"serial": True, "use_spectral_norm": True, "rollout": 8, "batch_size": 32, "learning_rate": 1e-2, **fields}
    kwargs: dict[str, Any] = {"env": "gym:CartPole-v1", "num_workers": 1, "num_envs_per_worker": 4, "policy_kwargs": fields}
    with APPO(**kwargs) as model:
        first = {key: value.clone() for key, value in model.get_parameters()[0].items()}
        assert model.train(200) == 0
        path = model.save(tmp_path / "checkpoint.pt")
        trained = model.get_parameters()[0]
        assert any(not torch.equal(first[key], trained[key]) for key in first if key.endswith("original"))
    with APPO(**kwargs) as again:
        again.load(path or tmp_path / "checkpoint.pt")
        assert all(torch.equal(value, again.get_parameters()[0][key]) for key, value in trained.items())
