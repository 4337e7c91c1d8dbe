"""Passes at fixed sizes. What a graph does is done here by a recorder that computes again into the same memory; the last tests
are of real CUDA graphs and are skipped where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from arl_core.models.encoders import MlpEncoder
from arl_core.sampling.graphed import GraphedPass
from arl_core.sampling.replica import ReplicaSpec, make_actor

CPU = torch.device("cpu")
Outputs = tuple[Tensor, ...]


def again(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
    """Recorded on a CPU: the same memory, written anew."""
    outputs = run()

    def replay() -> None:
        for target, value in zip(outputs, run(), strict=True):
            target.copy_(value)

    return outputs, replay


def compute(inputs: Mapping[str, Tensor]) -> Outputs:
    """One-hot classes 1 to 3, of which anything else is an error, and a function of both inputs."""
    classes = torch.nn.functional.one_hot(inputs["class"] - 1, 3)
    return classes, inputs["class"] * inputs["x"].sum(-1)


def rows(count: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "class": torch.randint(1, 4, (count,), generator=generator),
        "x": torch.randn(count, 5, generator=generator),
    }


def test_every_number_of_rows_gives_what_the_plain_pass_gives() -> None:
    sizes: list[int] = []

    def record(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        sizes.append(len(run()[0]))
        return again(run)

    graphed = GraphedPass(compute, CPU, unit=2, largest=11, record=record)
    for seed, count in enumerate([3, 1, 11, 2, 8, 4, 5, 9, 3, 11, 1]):
        inputs = rows(count, seed)
        for found, wanted in zip(graphed(inputs), compute(inputs), strict=True):
            torch.testing.assert_close(found, wanted)
    assert sorted(sizes) == [2, 4, 8, 11], "each size is recorded once"
    assert not graphed.refusal


def test_a_pass_that_cannot_be_recorded_stays_plain() -> None:
    tried = 0

    def record(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        nonlocal tried
        tried += 1
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    graphed = GraphedPass(compute, CPU, unit=1, largest=4, record=record)
    for seed in range(3):
        torch.testing.assert_close(graphed(rows(3, seed)), compute(rows(3, seed)))
    assert graphed.refusal == "operation not permitted when stream is capturing"
    assert tried == 1


def test_a_row_of_nan_is_no_other_result() -> None:
    graphed = GraphedPass(compute, CPU, unit=1, largest=4, record=again)
    inputs = rows(4, 0)
    inputs["x"][3] = torch.nan
    for count in (4, 3):  # the second time it is left over from the first
        part = {name: each[:count] for name, each in inputs.items()}
        torch.testing.assert_close(graphed(part), compute(part), equal_nan=True)
        assert not graphed.refusal


def test_a_recording_that_gives_other_results_is_not_used() -> None:
    def record(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        outputs = run()
        return outputs, lambda: outputs[1].add_(1.0)  # type: ignore[return-value]

    graphed = GraphedPass(compute, CPU, unit=1, largest=4, record=record)
    torch.testing.assert_close(graphed(rows(3, 0)), compute(rows(3, 0)))
    assert "other results" in graphed.refusal


def changing(change: Callable[[Tensor, Tensor], Any]) -> Callable[..., tuple[Outputs, Callable[[], None]]]:
    """Records what `change` does to the outputs of `compute` when they are replayed."""

    def record(run: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        outputs, replay = again(run)

        def otherwise() -> None:
            replay()
            change(*outputs)

        return outputs, otherwise

    return record


@pytest.mark.parametrize(
    ("change", "is_used"),
    [
        (lambda _, sums: sums.mul_(1.004), True),  # another rounding, as of bfloat16
        (lambda _, sums: sums.mul_(1.1), False),
        (lambda _, sums: sums[7].add_(10.0), False),
        (lambda _, sums: sums[7].fill_(float("nan")), False),
        (lambda classes, _: classes[:2].copy_(classes[:2].roll(1, 1)), True),  # two of 20 chose otherwise
        (lambda classes, _: classes[:3].copy_(classes[:3].roll(1, 1)), False),
    ],
)
def test_rounding_is_no_other_result(change: Callable[[Tensor, Tensor], Any], is_used: bool) -> None:
    graphed = GraphedPass(compute, CPU, unit=20, largest=20, record=changing(change))
    graphed(rows(20, 0))
    assert bool(graphed.refusal) is not is_used


@pytest.mark.parametrize("options", [{"use_spectral_norm": True}, {"use_rnn": True}])
def test_an_actor_chooses_the_same_actions(make_world: Any, options: dict[str, Any]) -> None:
    """Networks that do not act in NumPy on a CPU."""
    world = make_world(num_groups=5, **options)
    for key in world.shape.obs:
        array = world.arena[f"obs.{key}"]
        array[...] = np.random.default_rng(0).normal(size=array.shape)
    world.arena["group.last_valid"][...] = True
    plain, graphed = world.actor(seed=1), world.actor(seed=1)
    size = world.shape.group_size
    graphed._pass = GraphedPass(graphed._forward, CPU, size, 5 * size, again)
    for t, groups in enumerate([[0, 1, 2, 3, 4], [4, 0], [2, 1, 3]]):
        found = []
        for actor in (plain, graphed):
            for name in ("outputs", "actions"):
                world.arena[name][...] = 0
            actor.act_many(groups, [2 * group for group in groups], [t] * len(groups), [False] * len(groups))
            found.append([world.arena[name].copy() for name in ("outputs", "actions")])
        for wanted, got in zip(*found, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(graphed.state, plain.state)
    assert not graphed._pass.refusal


class Waiting(MlpEncoder):
    """Reads a value back, which no graph can."""

    def forward(self, obs: Any) -> Any:
        x = super().forward(obs)
        return x if float(x.sum()) < 1e9 else x * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("options", [{}, {"use_rnn": True}, {"precision": "bfloat16"}, {"actor_critic_share_weights": False}])
def test_a_cuda_graph_gives_what_the_plain_pass_gives_and_follows_the_weights(make_world: Any, options: dict[str, Any]) -> None:
    world = make_world(num_groups=5, **options)
    world.arena["group.last_valid"][...] = True
    actor = world.actor(device="cuda")
    for version in range(3):
        for count in (5, 1, 3):
            groups = list(range(count))
            actor.act_many(groups, [2 * group for group in groups], [version] * count, [False] * count)
            inputs = {name: tensor[: count * world.shape.group_size] for name, tensor in actor._graphed._inputs.items()}
            with torch.inference_mode():
                wanted = actor._forward(inputs)[0].cpu().numpy().reshape(count, world.shape.group_size, -1)
            found = world.arena["outputs"][[2 * g for g in groups], version]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=0.02 * np.abs(wanted).max())
        with torch.no_grad():
            world.flat.params.mul_(1.5)
        world.publish(version + 1)
        actor.refresh()
    assert not actor.refusal


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_network_that_waits_for_the_device_is_told_and_acts_plainly(make_world: Any) -> None:
    world = make_world(num_groups=2)
    recipe = replace(world.recipe, parts=replace(world.recipe.parts, encoder=f"{__name__}:Waiting"))
    actor = make_actor(ReplicaSpec(recipe, stream=0, device="cuda"), world.arena, world.shape, range(2))
    actor.refresh()
    for t in range(3):
        actor.act_many([0, 1], [0, 2], [t, t], [False, False])
    assert actor.refusal
    assert np.abs(world.arena["outputs"][0, :3]).min() > 0
