"""The intrinsic reward against its formulas, what it learns, and that it goes on exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from arl_plugin_rnd.loss import RandomNetworkDistillation
from arl_plugin_rnd.networks import NormalizedInputs, ReturnScale
from gymnasium import spaces
from torch import Tensor

from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.interfaces import RunParts
from arl_core.models.recipe import ModelRecipe

VECTOR = spaces.Box(-100, 100, (6,), np.float32)
MIXED = spaces.Dict(
    {"picture": spaces.Box(0, 255, (3, 12, 12), np.uint8), "class": spaces.Discrete(5), "action_mask": spaces.MultiBinary(4)}
)
PARTS = RunParts("arl_core.models.encoders:default_encoder", "arl_core.algorithms.appo:Appo")
T, B = 8, 16


def make(space: spaces.Space[Any] = VECTOR, **options: Any) -> RandomNetworkDistillation:
    recipe = ModelRecipe(space, spaces.Discrete(4), RunConfig(hidden_size=16), PARTS)
    torch.manual_seed(0)
    return RandomNetworkDistillation(recipe.build(), space, spaces.Discrete(4), recipe.cfg, **options)


def make_batch(obs: dict[str, Tensor], seed: int = 0) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    ended = torch.rand(T, B, generator=generator) < 0.1
    valid = torch.ones(T, B, dtype=torch.bool)
    valid[1:] = ~ended[:-1]
    none = torch.zeros(T, B)
    flags = ended & valid, torch.zeros_like(ended), valid
    return TrainingBatch(obs, torch.zeros(T, B, 1).long(), none, none, torch.zeros(T, B, 4), none, *flags)


def vectors(seed: int = 0) -> dict[str, Tensor]:
    return {"obs": torch.randn(T + 1, B, 6, generator=torch.Generator().manual_seed(seed)) * 7 + 20}


def train(loss: RandomNetworkDistillation, batch: TrainingBatch, steps: int) -> None:
    optimizer = torch.optim.Adam(loss.predictor.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss.loss(None, batch)[0].backward()  # type: ignore[arg-type]  # it looks at no policy
        optimizer.step()


def test_the_scale_is_the_deviation_of_discounted_sums() -> None:
    scale, gamma = ReturnScale(0.9), 0.9
    generator = torch.Generator().manual_seed(0)
    sums: list[float] = []
    begin = 0.0
    for number in range(5):
        rewards = torch.rand(T, B, generator=generator)
        valid = torch.rand(T, B, generator=generator) > 0.2
        scale.update(rewards, valid)
        ends = []
        for b in range(B):
            column = [(float(rewards[t, b]), bool(valid[t, b])) for t in range(T)]
            for t in range(T):
                # the sum over all steps so far, not the recursion
                past = [r for r, counted in column[: t + 1] if counted]
                total = begin * gamma ** len(past) + sum(r * gamma ** (len(past) - 1 - i) for i, r in enumerate(past))
                if column[t][1]:
                    sums.append(total)
            ends.append(total)
        begin = float(np.mean(ends))
        assert scale.stddev.item() == pytest.approx(np.std(sums), rel=1e-4), number


def test_the_reward_is_error_over_deviation_and_nothing_where_not_valid() -> None:
    loss = make(coeff=0.3)
    for seed in range(3):
        batch = make_batch(vectors(seed), seed)
        rewards = loss.bonus(batch)
        errors = loss.errors({"obs": batch.obs["obs"][1:].flatten(0, 1)}).view(T, B)
        assert torch.allclose(rewards[batch.valid], (0.3 * errors / loss.scale.stddev)[batch.valid])
        assert not rewards[~batch.valid].any()
        assert (~batch.valid).any()
        assert not rewards.requires_grad


def test_observations_are_normalised_and_clipped() -> None:
    for space, obs in ((VECTOR, vectors()), (MIXED, mixed())):
        inputs = NormalizedInputs(space, RunConfig(normalize_input=True))
        batch = make_batch(obs)
        rows = {key: value[1:].flatten(0, 1) for key, value in obs.items()}
        inputs.update(rows, batch.valid.flatten())
        raw = inputs.preprocess(rows)
        for key, values in inputs(rows).items():
            seen = raw[key][batch.valid.flatten()].double()
            expected = (raw[key] - seen.mean(0)) / (seen.var(0, unbiased=False) + 1e-5).sqrt()
            assert torch.allclose(values, expected.clamp(-5, 5).float(), atol=1e-4)
            assert values.abs().max() <= 5.0
    far = {"obs": torch.full((1, 6), 1e6)}
    assert make().inputs(far)["obs"].tolist() == [[5.0] * 6]


def mixed() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "picture": torch.randint(256, (T + 1, B, 3, 12, 12), dtype=torch.uint8, generator=generator),
        "class": torch.randint(5, (T + 1, B), generator=generator),
        "action_mask": torch.ones(T + 1, B, 4, dtype=torch.int8),
    }


@pytest.mark.parametrize(("space", "obs"), [(VECTOR, vectors()), (MIXED, mixed())], ids=["vector", "images and classes"])
def test_what_was_seen_pays_less_than_what_was_not(space: spaces.Space[Any], obs: dict[str, Tensor]) -> None:
    loss = make(space)
    few = {key: rows.flatten(0, 1)[torch.arange((T + 1) * B) % 8].view(rows.shape) for key, rows in obs.items()}
    batch = make_batch(few)
    loss.bonus(make_batch(obs))  # statistics of many observations
    before = loss.loss(None, batch)[1]["error"].item()  # type: ignore[arg-type]
    target = [p.clone() for p in loss.target.parameters()]
    train(loss, batch, 60)
    after = loss.loss(None, batch)[1]["error"].item()  # type: ignore[arg-type]
    assert after < 0.2 * before
    assert all(torch.equal(a, b) for a, b in zip(target, loss.target.parameters(), strict=True))
    seen = {key: rows.flatten(0, 1)[:8] for key, rows in obs.items()}
    others = {key: rows.flatten(0, 1)[8:] for key, rows in obs.items()}
    assert loss.errors(others).mean() > 2 * loss.errors(seen).mean()


def test_the_update_proportion_is_the_share_of_frames_that_train() -> None:
    loss = make(update_proportion=0.25)
    batch = make_batch(vectors())
    loss.bonus(batch)
    drawn = []
    for _ in range(100):
        errors = loss.errors({"obs": batch.obs["obs"][1:].flatten(0, 1)})
        errors.retain_grad()
        loss.errors = lambda _obs, errors=errors: errors  # type: ignore[method-assign,misc]
        loss.loss(None, batch)[0].backward()  # type: ignore[arg-type]
        del loss.errors
        drawn.append((errors.grad != 0).float())
    share = torch.stack(drawn).mean(0).view(T, B)
    assert share[batch.valid].mean().item() == pytest.approx(0.25, abs=0.01)
    assert not share[~batch.valid].any()


def test_a_batch_of_resets_alone_is_no_nan() -> None:
    loss = make()
    batch = make_batch(vectors())
    batch.valid[:] = False
    assert not loss.bonus(batch).any()
    total, _ = loss.loss(None, batch)  # type: ignore[arg-type]
    assert total.item() == 0.0
    assert torch.isfinite(loss.scale.stddev)
