"""Dict and Tuple actions: the product of the parts' distributions, against each part computed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.action_dist import ActionDist
from arl_core.models.distributions import make_action_dist

ROWS = (6, 5)
BOX = spaces.Box(-1, 1, (2,))
MIXED = spaces.Dict(
    {"a": spaces.Discrete(3), "b": spaces.Tuple((BOX, spaces.MultiDiscrete([2, 4]))), "c": spaces.MultiBinary(2)}
)
INTEGERS = spaces.Tuple((spaces.Discrete(3), spaces.Tuple((spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(2)))))
FLOATS = spaces.Tuple((BOX, spaces.Box(-1, 1, (1, 2))))
LEAVES: dict[str, list[spaces.Space[Any]]] = {
    "mixed": [spaces.Discrete(3), BOX, spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(2)],
    "integers": [spaces.Discrete(3), spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(2)],
    "floats": [BOX, spaces.Box(-1, 1, (1, 2))],
}
SPACES = {"mixed": MIXED, "integers": INTEGERS, "floats": FLOATS}
OPTIONS: list[dict[str, Any]] = [{}, {"adaptive_stddev": True}, {"tanh_squash": True}]
CASES = [("mixed", options) for options in OPTIONS] + [("integers", {}), ("floats", {}), ("floats", OPTIONS[2])]


def split(name: str, options: dict[str, Any], params: Tensor) -> list[tuple[ActionDist, Tensor]]:
    """Every part's own distribution and parameters: heads lie first, free parameters last, both in the order of the parts."""
    cfg = RunConfig(**options)
    parts = [make_action_dist(leaf, cfg) for leaf in LEAVES[name]]
    head, free, found = 0, sum(part.head_size for part in parts), []
    for part in parts:
        own = [params[..., head : head + part.head_size], params[..., free : free + part.free_size]]
        head, free = head + part.head_size, free + part.free_size
        found.append((part, torch.cat(own, -1)))
    return found


def columns_of(parts: list[Any], joined: Tensor | None, size: str) -> list[Any]:
    sizes = [getattr(part, size) for part, _ in parts]
    return [None] * len(parts) if joined is None else list(joined.split(sizes, -1))


def case(name: str, options: dict[str, Any], is_masked: bool) -> tuple[ActionDist, Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    dist = make_action_dist(SPACES[name], RunConfig(**options))
    params, others = torch.randn(2, *ROWS, dist.params_size, dtype=torch.float64)
    mask = (torch.rand(*ROWS, dist.num_actions_for_mask) > 0.4).to(torch.int8) if is_masked else None
    return dist, params, others, mask


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_parts_add_up(name: str, options: dict[str, Any], is_masked: bool) -> None:
    dist, params, others, mask = case(name, options, is_masked and name != "floats")
    parts, theirs = split(name, options, params), split(name, options, others)
    masks = [m if part.num_actions_for_mask else None for (part, _), m in zip(
        parts, columns_of(parts, mask, "num_actions_for_mask"), strict=True
    )]  # fmt: skip
    actions = dist.sample(params, mask)
    log_prob = dist.log_prob(params, actions, mask)
    assert actions.dtype == (torch.int64 if name == "integers" else torch.float64)
    expected, entropy, kl, modes = torch.zeros(3, *ROWS, dtype=torch.float64), None, None, []
    expected, entropy, kl = expected
    for (part, own), (_, other), column, m in zip(
        parts, theirs, columns_of(parts, actions, "action_size"), masks, strict=True
    ):  # fmt: skip
        column = column.to(torch.int64) if part.action_dtype is torch.int64 else column
        expected += part.log_prob(own, column, m)
        entropy += part.entropy(own, m)
        kl += part.kl(own, other, m)
        modes.append(part.mode(own, m).double())
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(dist.log_prob(params, actions, mask), expected)
    torch.testing.assert_close(dist.log_prob_entropy(params, actions, mask), (expected, entropy))
    torch.testing.assert_close(dist.entropy(params, mask), entropy)
    torch.testing.assert_close(dist.kl(params, others, mask), kl)
    torch.testing.assert_close(dist.mode(params, mask).double(), torch.cat(modes, -1))


def test_masks_reach_the_part_that_they_are_of() -> None:
    dist, params, _, _ = case("mixed", {}, False)
    mask = torch.tensor([0, 1, 0, 0, 1, 1, 0, 0, 0]).expand(*ROWS, 9)
    for _ in range(20):
        actions = dist.sample(params, mask)
        log_prob = dist.log_prob(params, actions, mask)
        assert (actions[..., 0] == 1).all()
        assert (actions[..., 3] == 1).all()
        assert (actions[..., 4] == 0).all()
    assert log_prob.isfinite().all()


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_numpy_chooses_what_torch_chooses(name: str, options: dict[str, Any], is_masked: bool) -> None:
    dist, params, _, mask = case(name, options, is_masked and name != "floats")
    params = params.float().flatten(0, 1)
    mask = None if mask is None else mask.flatten(0, 1)
    noise = dist.draw_noise(torch.empty(len(params), dist.noise_size), torch.Generator().manual_seed(1))
    chosen = torch.empty(len(params), dist.action_size, dtype=dist.action_dtype)
    found = np.full(chosen.shape, -7, chosen.numpy().dtype)
    dist.choose_into(chosen, params, mask, noise)
    dist.choose_numpy_into(found, params.numpy(), None if mask is None else mask.numpy(), noise.numpy())
    np.testing.assert_allclose(found, chosen.numpy(), rtol=1e-5, atol=1e-6)


def test_frequencies() -> None:
    dist, params, _, _ = case("mixed", {}, False)
    many = params[0, :1].float().expand(40_000, -1)
    actions = dist.sample(many, None, torch.Generator().manual_seed(3))
    frequencies = torch.bincount(actions[:, 0].long(), minlength=3) / 40_000
    torch.testing.assert_close(frequencies, many[0, :3].softmax(-1), atol=0.015, rtol=0)
    torch.testing.assert_close(actions[:, 1:3].mean(0), many[0, 3:5], atol=0.05, rtol=0)
    both = torch.corrcoef(actions.T)
    assert (both - torch.eye(len(both))).abs().max() < 0.03, "the parts are independent"


def test_gradients() -> None:
    dist, params, others, mask = case("mixed", {"tanh_squash": True}, True)
    params, others, mask = params[:2, 0], others[:2, 0], None if mask is None else mask[:2, 0]
    actions = dist.sample(params, mask)
    params.requires_grad_()

    def everything(params: Tensor) -> Tensor:
        log_prob, entropy = dist.log_prob_entropy(params, actions, mask)
        return log_prob + 0.3 * entropy + dist.kl(params, others, mask)

    assert torch.autograd.gradcheck(everything, (params,))


def test_squashed_columns_keep_their_place() -> None:
    space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-2, 3, (2,)), spaces.Box(0, 1, (1,), np.int32)))
    assert make_action_dist(space, RunConfig(tanh_squash=True)).squashed == ((1, -2.0, 3.0), (2, -2.0, 3.0), (3, 0.0, 1.0))
    assert make_action_dist(space).squashed == ()


def test_other_spaces_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"action '1': Text is not supported"):
        make_action_dist(spaces.Tuple([spaces.Discrete(2), spaces.Text(3)]))
