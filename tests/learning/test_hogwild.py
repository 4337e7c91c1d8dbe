"""Shared parameters and shared statistics: each worker's gradient is its own, at its own copy of the parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from arl_core.algorithms.a3c import A3c
from arl_core.algorithms.batch import TrainingBatch
from arl_core.interfaces import RunParts
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape, SlotState, slot_specs
from arl_core.ipc.weights import WeightsBoard, weights_specs
from arl_core.learning.hogwild import KeeperLearner, WorkerLearner, hogwild_specs, settle_worker
from arl_core.learning.process import DROPPED_EPOCH, DROPPED_LAG, STAGED, TRAINED
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe

OPTIONS = {
    "hogwild": True, "normalize_input": False, "normalize_advantages": False, "with_vtrace": False, "gae_lambda": 1.0,
    "optimizer": "rmsprop", "learning_rate": 1e-2, "max_grad_norm": 0.0,
}  # fmt: skip


class Factory:
    """A keeper and two workers on one piece of shared memory."""

    def __init__(self, school: Any) -> None:
        self.school = school
        parts = RunParts(school.recipe.parts.encoder, "arl_core.algorithms.a3c:A3c")
        self.recipe = ModelRecipe(school.recipe.obs_space, school.recipe.action_space, school.cfg, parts)
        size = flatten_module(self.recipe.build()).nbytes
        self.arena = Arena.create({**weights_specs(1, size), **hogwild_specs(2, size, school.cfg.optimizer)})
        WeightsBoard(self.arena, 0).clear()
        self.keeper = KeeperLearner(self.recipe, self.arena)
        self.keeper.publish()
        self.keeper.set_hyperparameters({})
        self.workers = [WorkerLearner(self.recipe, self.arena, number) for number in range(2)]
        for worker in self.workers:
            worker.pull()

    def batch(self, seed: int) -> TrainingBatch:
        batch: TrainingBatch = self.school.batch(seed)
        return batch

    def gradient(self, params: Tensor, seed: int) -> Tensor:
        """A3C's gradient of a batch at `params` [n], by autograd on a model of its own."""
        model = self.recipe.build()
        flat = flatten_module(model)
        flat.params.copy_(params)
        cfg, batch = self.school.cfg, self.batch(seed)
        A3c().loss(model, batch, A3c().prepare(model, batch, cfg), cfg)[0].backward()
        return flat.grads.clone()


@pytest.fixture
def factory(make_school: Any) -> Iterator[Factory]:
    made = Factory(make_school(**OPTIONS))
    yield made
    made.arena.close()


def train(worker: WorkerLearner, batch: TrainingBatch) -> None:
    worker.train(batch, int(batch.valid.sum()), with_metrics=False)


def rmsprop(cfg: Any, params: Tensor) -> torch.optim.RMSprop:
    return torch.optim.RMSprop([params], lr=cfg.learning_rate, alpha=cfg.rmsprop_alpha, eps=cfg.rmsprop_eps)


def apply(optimizer: torch.optim.RMSprop, params: Tensor, gradient: Tensor) -> None:
    params.grad = gradient
    optimizer.step()


def test_algorithm_s3_by_hand(factory: Factory) -> None:
    """Both copy theta_0. The first moves theta; the second's gradient is still that at theta_0, applied to what theta is now,
    with the mean square that the first has changed."""
    cfg, one, two = factory.school.cfg, *factory.workers
    start = factory.keeper.shared.params.clone()
    naive = start.clone()
    shared_statistics = rmsprop(cfg, naive)
    sequence = [(one, 0), (two, 1), (one, 2), (one, 3), (two, 4)]
    copies = {one: start.clone(), two: start.clone()}
    for worker, seed in sequence:
        apply(shared_statistics, naive, factory.gradient(copies[worker], seed))
        copies[worker] = naive.clone()
        train(worker, factory.batch(seed))
        torch.testing.assert_close(factory.keeper.shared.params, naive, rtol=1e-5, atol=1e-6)
        assert torch.equal(worker.flat.params, factory.keeper.shared.params)
    assert (naive - start).abs().max() > 0.01

    other = start.clone()  # the same with an optimiser for each worker
    own = {worker: rmsprop(cfg, other) for worker in factory.workers}
    copies = {one: start.clone(), two: start.clone()}
    for worker, seed in sequence:
        apply(own[worker], other, factory.gradient(copies[worker], seed))
        copies[worker] = other.clone()
    assert (other - naive).abs().max() > 1e-3, "shared statistics make a difference"


def test_counters_are_sums_of_each_workers_own(factory: Factory) -> None:
    one, two = factory.workers
    for seed, worker in enumerate((one, two, one)):
        train(worker, factory.batch(seed))
    assert [int(worker.counts[1]) for worker in factory.workers] == [2, 1]
    assert one.version == 3
    assert two.version == 2, "what it has copied last"
    factory.keeper.publish_shared()
    assert factory.keeper.board.version == factory.keeper.version == factory.keeper.shared.steps == 3
    state = factory.keeper.state_dict()
    assert int(state["optimizer"]["step"]) == 3
    factory.keeper.load_state_dict({**state, "version": 40, "frames": 1_000})
    assert (factory.keeper.shared.version, factory.keeper.shared.frames, factory.keeper.shared.steps) == (40, 1_000, 3)
    for worker in factory.workers:
        worker.pull()
        assert (worker.version, worker.frames, worker.optimizer.steps) == (40, 1_000, 3)
    train(two, factory.batch(5))
    assert (factory.keeper.shared.version, factory.keeper.shared.steps) == (41, 4)
    assert not factory.keeper.shared.counts[:, DROPPED_EPOCH].any()


def test_hyperparameters_reach_workers_that_are_there_and_those_that_come(factory: Factory) -> None:
    factory.keeper.set_hyperparameters({"learning_rate": 0.5, "ppo_epochs": 3})
    late = WorkerLearner(factory.recipe, factory.arena, 1)
    for worker in (*factory.workers, late):
        worker.follow_hyperparameters()
        assert (worker.cfg.learning_rate, worker.cfg.ppo_epochs, worker.optimizer.lr) == (0.5, 3, 0.5)
        assert isinstance(worker.cfg.ppo_epochs, int)
        assert worker.cfg.gamma == factory.school.cfg.gamma


def test_what_a_dead_worker_had_taken_is_dropped_and_what_is_full_stays() -> None:
    shape = SlotShape(
        num_policies=1,
        num_groups=2,
        slots_per_group=3,
        rollout=4,
        group_size=2,
        obs={},
        action_size=1,
        action_dtype="int64",
        params_size=2,
        state_size=0,
    )
    arena = Arena.create({**slot_specs(shape), **hogwild_specs(2, 64, "rmsprop")})
    state, counts = arena["slot.state"][0], arena["shared.counts"]
    state[:] = SlotState.TRAINING
    state[4:] = SlotState.FULL, SlotState.FREE
    arena["valid"][4:] = True
    arena["valid"][4, 0, 0] = False
    arena["group.frames"][0, 1, 0] = 50
    counts[1, [TRAINED, DROPPED_LAG, DROPPED_EPOCH, STAGED]] = 20, 5, 3, 9
    for _ in range(2):
        settle_worker(arena, 1, 1, shape.ring(1))
        assert state.tolist() == [SlotState.TRAINING] * 3 + [SlotState.FREE, SlotState.FULL, SlotState.FREE]
        assert counts[1, [TRAINED, DROPPED_LAG, DROPPED_EPOCH, STAGED]].tolist() == [20, 5, 50 - 20 - 5 - 7, 0]
        assert not counts[0].any()
    arena.close()
