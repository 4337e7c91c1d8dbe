from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.dense_numpy import dense_policy
from arl_core.models.encoders import default_encoder

BOX = spaces.Box(-1, 1, (4,))
ACTIONS: list[spaces.Space[Any]] = [
    spaces.Discrete(3),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(2),
    spaces.Box(-1, 1, (2,)),
]
KINDS: list[dict[str, Any]] = [
    {},
    {"use_rnn": True},
    {"use_rnn": True, "rnn_type": "lstm"},
    {"actor_critic_share_weights": False},
    {"actor_critic_share_weights": False, "use_rnn": True, "rnn_type": "lstm"},
]


def make(
    options: dict[str, Any] | None = None, actions: spaces.Space[Any] | None = None, obs: spaces.Space[Any] = BOX
) -> ActorCritic:
    torch.manual_seed(3)
    cfg = RunConfig(hidden_size=16, **(options or {}))
    return ActorCritic(obs, spaces.Discrete(3) if actions is None else actions, cfg, default_encoder)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("actions", ACTIONS, ids=lambda space: type(space).__name__)
def test_shapes_of_act(options: dict[str, Any], actions: spaces.Space[Any]) -> None:
    model = make(options, actions)
    state = torch.zeros(5, model.state_size) if model.state_size else None
    obs = {"obs": torch.randn(5, 4)}
    for is_deterministic in (False, True):
        with torch.inference_mode():
            out = model.act(obs, state, torch.Generator().manual_seed(0), is_deterministic)
        assert out.actions.shape == (5, model.dist.action_size)
        assert out.actions.dtype == model.dist.action_dtype
        assert out.value.shape == (5,)
        assert out.params.shape == (5, model.dist.params_size)
        assert (out.state is None) == (state is None)


@pytest.mark.parametrize("options", KINDS)
def test_bfloat16_is_the_same_network_less_exactly(options: dict[str, Any]) -> None:
    """Acting and evaluating round alike, gradients arrive as float32; told to, it computes in float32 again."""
    exact, rounded = make(options), make({**options, "precision": "bfloat16"})
    obs, valid = {"obs": torch.randn(6, 5, 4)}, torch.ones(6, 5, dtype=torch.bool)
    gradients = []
    for model in (exact, rounded):
        params, values = model.evaluate(obs, None, valid)
        assert params.dtype is values.dtype is torch.float32
        (params.square().mean() + values.square().mean()).backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    expected = exact.evaluate(obs, None, valid)[1]
    torch.testing.assert_close(values, expected, atol=0.05, rtol=0.05)
    assert not torch.equal(values, expected)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert dense_policy(rounded) is None  # which would compute in float32
    with torch.inference_mode():
        first = rounded.act({"obs": obs["obs"][0]}, None, torch.Generator().manual_seed(0))
    torch.testing.assert_close(first.value, values[0])
    rounded.use_float32()
    assert torch.equal(rounded.evaluate(obs, None, valid)[1], expected)


def test_state_sizes() -> None:
    assert [make(options).state_size for options in KINDS] == [0, 16, 32, 0, 64]


@pytest.mark.parametrize("options", KINDS)
def test_evaluate_is_act_row_by_row(options: dict[str, Any]) -> None:
    """With resets: the state is zero after an invalid row; the final observation has its episode's state."""
    rows, columns = 9, 4
    model = make(options)
    obs = {"obs": torch.randn(rows, columns, 4)}
    valid = torch.rand(rows, columns) > 0.3
    state0 = torch.randn(columns, model.state_size) if model.state_size else None
    state, params, values = state0, [], []
    with torch.inference_mode():
        for t in range(rows):
            out = model.act({"obs": obs["obs"][t]}, state, None)
            params.append(out.params)
            values.append(out.value)
            state = None if out.state is None else torch.where(valid[t].unsqueeze(-1), out.state, 0.0)
    for mask in (valid, valid[:-1]):
        got = model.evaluate(obs, state0, mask)
        torch.testing.assert_close(got, (torch.stack(params), torch.stack(values)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("options", KINDS[1:3])
def test_gradients_of_the_unrolled_core_stop_at_resets(options: dict[str, Any]) -> None:
    model = make(options)
    obs = torch.randn(4, 2, 4, requires_grad=True)
    valid = torch.tensor([[True, True], [False, True], [True, True]])
    state0 = torch.randn(2, model.state_size, requires_grad=True)
    _, values = model.evaluate({"obs": obs}, state0, valid)
    reach, of_state = torch.autograd.grad(values[3].sum(), (obs, state0))
    touched = reach.abs().sum(-1) > 0
    assert touched.tolist() == [[False, True], [False, True], [True, True], [True, True]]
    assert (of_state.abs().sum(-1) > 0).tolist() == [False, True]


def test_no_state_means_zeros() -> None:
    model = make({"use_rnn": True})
    obs = {"obs": torch.randn(3, 4)}
    given = model.act(obs, torch.zeros(3, 16), torch.Generator().manual_seed(0))
    absent = model.act(obs, None, torch.Generator().manual_seed(0))
    assert all(torch.equal(one, other) for one, other in zip(given, absent, strict=True))


def test_initialisation_depends_on_the_global_seed_alone() -> None:
    one, same = make(), make()
    torch.manual_seed(4)
    other = ActorCritic(BOX, spaces.Discrete(3), RunConfig(hidden_size=16), default_encoder)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_gains_of_the_heads() -> None:
    weight = make({"encoder_layers": 2}).actor.head.weight
    torch.testing.assert_close(weight[:3] @ weight[:3].T, 1e-4 * torch.eye(3))
    torch.testing.assert_close(weight[3].norm(), torch.tensor(1.0))


def test_masks() -> None:
    obs_space = spaces.Dict({"x": BOX, "action_mask": spaces.Box(0, 1, (3,), np.int8)})
    model = make(obs=obs_space)
    mask = torch.tensor([[0, 1, 0], [0, 0, 0]], dtype=torch.int8)
    obs = {"x": torch.randn(2, 4), "action_mask": mask}
    with torch.inference_mode():
        taken = torch.stack([model.act(obs, None, None).actions for _ in range(60)])
        best = model.act(obs, None, None, deterministic=True)
    assert (taken[:, 0] == 1).all()
    assert set(taken[:, 1].flatten().tolist()) == {0, 1, 2}
    assert best.actions[0] == 1
    assert model.dist.log_prob(best.params, best.actions, obs["action_mask"])[0] == 0


@pytest.mark.parametrize(
    ("actions", "width", "message"),
    [(spaces.Discrete(4), 3, r"need \(4,\)"), (spaces.Box(-1, 1, (3,)), 3, "only Discrete and MultiDiscrete")],
)
def test_masks_that_do_not_fit(actions: spaces.Space[Any], width: int, message: str) -> None:
    obs_space = spaces.Dict({"x": BOX, "action_mask": spaces.MultiBinary(width)})
    with pytest.raises(UserError, match=message):
        make(obs=obs_space, actions=actions)


def test_an_encoder_without_a_size_is_named() -> None:
    with pytest.raises(UserError, match="Identity has no integer output_size"):
        ActorCritic(BOX, spaces.Discrete(2), RunConfig(), lambda space, cfg: nn.Identity())


def test_deviations_of_gaussian_actions_are_a_parameter() -> None:
    model = make({"initial_stddev": 0.25}, spaces.Box(-1, 1, (2,)))
    params, _ = model.evaluate({"obs": torch.randn(3, 2, 4)}, None, torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(params[..., 2:].exp(), torch.full((3, 2, 2), 0.25))
    assert model.free_params is not None
    (grad,) = torch.autograd.grad(model.dist.entropy(params).sum(), model.free_params)
    torch.testing.assert_close(grad, torch.full((2,), 6.0))


def test_normalisers_are_a_part_of_the_model() -> None:
    model = make({"normalize_input": True})
    obs = {"obs": 100 + 10 * torch.randn(8, 4, 4)}
    valid = torch.rand(8, 4) > 0.5
    before = model.evaluate(obs, None, valid)[1]
    model.preprocess.update({"obs": obs["obs"].flatten(0, 1)}, valid.flatten())
    np.testing.assert_allclose(model.preprocess.norms[0].mean, obs["obs"][valid].double().mean(0), rtol=1e-9)
    assert not torch.allclose(before, model.evaluate(obs, None, valid)[1])
    fresh = make({"normalize_input": True})
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.evaluate(obs, None, valid)[1], model.evaluate(obs, None, valid)[1])


@pytest.mark.parametrize("options", [{}, {"use_rnn": True, "normalize_input": True}])
def test_copies_are_equal_and_independent(options: dict[str, Any]) -> None:
    model = make(options)
    obs: dict[str, Tensor] = {"obs": torch.randn(3, 4)}
    value = model.act(obs, None, None).value
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other.act(obs, None, None).value, value)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        assert not torch.equal(other.act(obs, None, None).value, value)
        assert torch.equal(model.act(obs, None, None).value, value)


@pytest.mark.parametrize("options", KINDS)
def test_latents_are_what_the_policys_head_was_given(options: dict[str, Any]) -> None:
    model = make(options)
    obs, valid = {"obs": torch.randn(6, 3, 4)}, torch.ones(5, 3, dtype=torch.bool)
    model.evaluate(obs, None, valid)
    assert model.latents is None
    widths = model.keep_latents()
    params, _ = model.evaluate(obs, None, valid)
    assert model.latents is not None
    assert tuple(x.shape for x in model.latents) == tuple((6, 3, width) for width in widths)
    assert torch.equal(model.actor.head(model.latents.memory)[..., :3], params)
    model.latents.memory.sum().backward()
    trained = [*model.actor.encoder.parameters(), *(model.actor.core.parameters() if model.actor.core else ())]
    assert all(parameter.grad is not None for parameter in trained)
