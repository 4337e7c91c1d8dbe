from __future__ import annotations

from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.encoders import default_encoder
from arl_core.models.flat import ALIGNMENT_BYTES, flatten_module


def make(seed: int = 0, **options: Any) -> ActorCritic:
    torch.manual_seed(seed)
    space = spaces.Box(-9, 9, (5,))
    cfg = RunConfig(hidden_size=7, normalize_input=True, use_rnn=True, **options)
    return ActorCritic(space, spaces.Box(-1, 1, (3,)), cfg, default_encoder)


def value_sum(model: ActorCritic) -> torch.Tensor:
    obs = {"obs": torch.linspace(-3, 3, 3 * 2 * 5).view(3, 2, 5)}
    params, values = model.evaluate(obs, None, torch.ones(3, 2, dtype=torch.bool))
    return params.square().sum() + values.square().sum()


def is_inside(tensor: torch.Tensor, flat: torch.Tensor) -> bool:
    start, end = flat.data_ptr(), flat.data_ptr() + flat.nbytes
    return start <= tensor.data_ptr() and tensor.data_ptr() + tensor.nbytes <= end


def check_views(model: nn.Module, flat: Any) -> None:
    for parameter in model.parameters():
        assert is_inside(parameter, flat.params)
        assert (parameter.data_ptr() - flat.params.data_ptr()) % ALIGNMENT_BYTES == 0
        assert parameter.grad is not None
        assert is_inside(parameter.grad, flat.grads)
    for buffer in model.buffers():
        assert is_inside(buffer, flat.buffers[buffer.dtype])


def test_flattening_changes_no_value() -> None:
    model, plain = make(), make()
    flat = flatten_module(model)
    check_views(model, flat)
    assert torch.equal(value_sum(model), value_sum(plain))
    assert flat.nbytes == flat.params.nbytes + sum(buffer.nbytes for buffer in flat.buffers.values())
    assert set(flat.buffers) == {torch.float32, torch.float64}


def test_backward_accumulates_into_the_flat_gradient() -> None:
    model, plain = make(), make()
    flat = flatten_module(model)
    for repeats in (1, 2):
        value_sum(model).backward()
        value_sum(plain).backward()
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
        check_views(model, flat)
        assert flat.grads.count_nonzero() > 0, repeats
    squares = sum(p.grad.square().sum() for p in plain.parameters() if p.grad is not None)
    torch.testing.assert_close(flat.grads.square().sum(), squares)  # the padding is zero
    flat.zero_grad()
    check_views(model, flat)
    assert all(p.grad is not None and (p.grad == 0).all() for p in model.parameters())


def test_adam_on_the_flat_parameter_is_adam_on_the_module() -> None:
    model, plain = make(), make()
    flat = flatten_module(model)
    whole = nn.Parameter(flat.params)
    whole.grad = flat.grads
    flat_adam = torch.optim.Adam([whole], lr=0.01)
    plain_adam = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(4):
        flat.zero_grad()
        plain_adam.zero_grad()
        value_sum(model).backward()
        value_sum(plain).backward()
        flat_adam.step()
        plain_adam.step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_publishing_is_one_round_trip() -> None:
    source, target = make(0), make(1)
    from_flat, to_flat = flatten_module(source), flatten_module(target)
    source.preprocess.update({"obs": torch.randn(10, 5)}, torch.ones(10, dtype=torch.bool))
    assert not torch.equal(value_sum(source), value_sum(target))
    buf = torch.full((from_flat.nbytes,), 255, dtype=torch.uint8)
    from_flat.write_to(buf)
    to_flat.read_from(buf)
    assert torch.equal(value_sum(source), value_sum(target))
    assert torch.equal(source.preprocess.norms[0].m2, target.preprocess.norms[0].m2)
    check_views(target, to_flat)
    with torch.no_grad():
        source.actor.head.weight.add_(1.0)
    assert not torch.equal(value_sum(source), value_sum(target))


def test_loading_and_updating_keep_the_views() -> None:
    model, other = make(0), make(1)
    flat = flatten_module(model)
    model.load_state_dict(other.state_dict())
    check_views(model, flat)
    model.preprocess.update({"obs": torch.randn(10, 5)}, torch.ones(10, dtype=torch.bool))
    check_views(model, flat)
    assert flat.buffers[torch.float64].count_nonzero() > 0
    other.load_state_dict(model.state_dict())
    assert torch.equal(value_sum(model), value_sum(other))


def test_tied_parameters_are_stored_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    module = nn.Sequential(first, second)
    flat = flatten_module(module)
    assert flat.params.numel() == 16 + 2 * 16  # two biases of 4, padded to a cache line
    assert second.weight is first.weight
    module(torch.ones(1, 4)).sum().backward()
    x = torch.ones(1, 4)
    expected = torch.autograd.grad(second(first(x)).sum(), first.weight)[0]
    torch.testing.assert_close(first.weight.grad, expected)


def test_a_module_without_buffers_or_parameters() -> None:
    assert flatten_module(nn.Linear(2, 2)).buffers == {}
    assert flatten_module(nn.Tanh()).nbytes == 0


def test_other_dtypes_are_named() -> None:
    with pytest.raises(UserError, match=r"'1\.weight' of the model is torch\.float64"):
        flatten_module(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))
