from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch

from arl_core.sampling.replica import ReplicaSpec, action_seed, make_actor


def test_streams_differ_by_run_actor_and_life() -> None:
    seeds = [action_seed(run, stream, life) for run in range(3) for stream in range(4) for life in range(3)]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [action_seed(run, stream, life) for run in range(3) for stream in range(4) for life in range(3)]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_actor_is_built_from_a_description_that_pickles(make_world: Any) -> None:
    world = make_world(num_groups=2)
    spec = pickle.loads(pickle.dumps(ReplicaSpec(world.recipe, stream=3)))
    world.arena["obs.obs"][...] = 0.3
    drawn = []
    for _ in range(2):
        actor = make_actor(spec, world.arena, world.shape, range(2))
        assert actor.version == -1
        actor.refresh()
        actor.act_one(1, 2, 0)
        drawn.append(world.arena["actions"][2, 0].copy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    with torch.inference_mode():
        wanted = world.model.act({"obs": torch.full((3, 4), 0.3)}, None, None, deterministic=True)
    np.testing.assert_allclose(world.arena["outputs"][2, 0, :, :-1], wanted.params, rtol=1e-6)


def test_it_computes_on_one_thread(make_world: Any) -> None:
    world = make_world()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        make_actor(ReplicaSpec(world.recipe, stream=0), world.arena, world.shape, range(1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
