"""Recurrent cores: the fast unroll is the naive chain of cells, values and gradients."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from arl_core.config import RunConfig
from arl_core.models.cores import Core, make_core
from arl_core.models.recurrence import GruRecurrence, LstmRecurrence

T, B, INPUTS, HIDDEN = 8, 5, 6, 7


def make(kind: str, num_layers: int = 1, recurrence: int | None = None) -> Core:
    torch.manual_seed(1)
    cfg = RunConfig(
        use_rnn=True,
        rnn_type=kind,
        rnn_num_layers=num_layers,
        hidden_size=HIDDEN,
        rollout=T,
        batch_size=T,
        recurrence=recurrence,
    )
    core = make_core(INPUTS, cfg)
    assert core is not None
    for parameter in core.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return core


def case(core: Core) -> tuple[Tensor, Tensor, Tensor]:
    """Features [T+1, B, I], a first state, and validity with resets in every position."""
    x = torch.randn(T + 1, B, INPUTS, requires_grad=True)
    state0 = torch.randn(B, core.state_size, requires_grad=True)
    return x, state0, torch.rand(T, B) > 0.3


def naive(core: Core, x: Tensor, state0: Tensor, valid: Tensor, recurrence: int = T + 1) -> Tensor:
    """`step` row after row, the state zeroed after resets and detached where gradients are cut."""
    state, outputs = state0, []
    for t, row in enumerate(x):
        if t:
            state = torch.where(valid[t - 1].unsqueeze(-1), state, 0.0)
        if t and t % recurrence == 0:
            state = state.detach()
        hidden, state = core.step(row, state)
        outputs.append(hidden)
    return torch.stack(outputs)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("recurrence", [None, 4, 1])
def test_the_unroll_is_the_chain_of_steps(kind: str, num_layers: int, recurrence: int | None) -> None:
    core = make(kind, num_layers, recurrence)
    x, state0, valid = case(core)
    expected = naive(core, x, state0, valid, recurrence or T)
    found = core.unroll(x, state0, valid)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(found)
    inputs = [x, state0, *core.parameters()]
    for mine, theirs in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("recurrence", [100, 2])
def test_gradients_by_differences(recurrence: int) -> None:
    def double(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    keep = (torch.rand(3, 2, 1) > 0.4).double()
    gru = (double(4, 2, 9), double(2, 3), keep, double(9, 3), double(9))
    lstm = (double(4, 2, 12), double(2, 3), double(2, 3), keep, double(12, 3))
    if recurrence > 4:  # a gradient that is cut is not that of the function
        assert torch.autograd.gradcheck(lambda *args: GruRecurrence.apply(*args, recurrence), gru)
        assert torch.autograd.gradcheck(lambda *args: LstmRecurrence.apply(*args, recurrence), lstm)
        return
    for function, arguments in ((GruRecurrence, gru), (LstmRecurrence, lstm)):
        outputs = function.apply(*arguments, recurrence)
        (reach,) = torch.autograd.grad(outputs[3].sum(), arguments[0])
        assert (reach.abs().sum((1, 2)) > 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_layers_have_their_states_side_by_side(kind: str) -> None:
    one, three = make(kind), make(kind, 3)
    assert three.state_size == 3 * one.state_size
    assert sum(p.numel() for p in three.parameters()) > 2 * sum(p.numel() for p in one.parameters())
    x = torch.randn(B, INPUTS)
    _, state = three.step(x, torch.zeros(B, three.state_size))
    other = state.clone()
    other[:, -one.state_size :] += 1.0  # the last layer's memory alone
    again, after = three.step(x, other)
    torch.testing.assert_close(after[:, : 2 * one.state_size], three.step(x, state)[1][:, : 2 * one.state_size])
    assert not torch.allclose(again, three.step(x, state)[0])


def test_states_do_not_share_memory_with_what_was_given() -> None:
    core = make("lstm", 2)
    x, state0, valid = case(core)
    kept = state0.detach().clone()
    core.unroll(x, state0, valid).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(state0.detach(), kept)


def test_recurrence_is_checked() -> None:
    assert RunConfig(recurrence=-1).recurrence is None
    assert RunConfig(recurrence=5).recurrence == 5  # without a recurrent core it means nothing
    with pytest.raises(ValidationError, match="must be a multiple of recurrence"):
        RunConfig(use_rnn=True, rollout=32, recurrence=5)
    with pytest.raises(ValidationError, match="at least 1, or -1"):
        RunConfig(recurrence=0)
