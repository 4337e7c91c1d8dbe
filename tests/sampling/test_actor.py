from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from arl_core.models.encoders import MlpEncoder
from arl_core.sampling.actor import Actor
from arl_core.sampling.replica import ReplicaSpec, make_actor

OUTPUTS = ("actions", "outputs")


def fill_observations(world: Any, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for key in world.shape.obs:
        array = world.arena[f"obs.{key}"]
        array[...] = rng.normal(size=array.shape)
    world.arena["group.last_valid"][...] = rng.random(world.arena["group.last_valid"].shape) < 0.6


def outputs(world: Any, slot: int, t: int) -> dict[str, Any]:
    """Actions, distribution parameters and values of one row."""
    policy = world.arena["outputs"][slot, t]
    return {"actions": world.arena["actions"][slot, t].copy(), "params": policy[:, :-1].copy(), "values": policy[:, -1].copy()}


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rnn": True}, {"use_rnn": True, "rnn_type": "lstm"}, {"actor_critic_share_weights": False, "use_rnn": True}],
)
def test_many_rows_at_once_are_the_rows_one_by_one(make_world: Any, options: dict[str, Any]) -> None:
    world = make_world(num_groups=4, slots=2, **options)
    fill_observations(world)
    one, many = world.actor(seed=1), world.actor(seed=1)
    for round_ in range(3):
        groups, slots, times = [2, 0, 3], [4 + round_ % 2, 1, 6], [round_, 4 - round_, 0]
        for row in zip(groups, slots, times, strict=True):
            one.act_one(*row)
        expected = [
            (outputs(world, slot, t), world.arena["rnn_state"][slot].copy()) for slot, t in zip(slots, times, strict=True)
        ]
        for name in (*OUTPUTS, "rnn_state"):
            world.arena[name][...] = 0
        many.act_many(groups, slots, times, [False] * 3)
        for (wanted, state), slot, t in zip(expected, slots, times, strict=True):
            found = outputs(world, slot, t)
            for name in ("values", "params"):
                np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(found["actions"], wanted["actions"])
            if t == 0:
                np.testing.assert_allclose(world.arena["rnn_state"][slot], state, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(many.state, one.state)
    others = [slot for slot in range(8) if slot not in {1, 4, 5, 6}]
    assert not world.arena["outputs"][others].any(), "nothing else is written"


def test_outputs_are_those_of_the_published_model(make_world: Any) -> None:
    world = make_world()
    fill_observations(world)
    actor = world.actor()
    actor.act_one(0, 1, 3)
    with torch.inference_mode():
        wanted = world.model.act({"obs": torch.from_numpy(world.arena["obs.obs"][1, 3])}, None, torch.Generator())
    np.testing.assert_allclose(outputs(world, 1, 3)["params"], wanted.params, rtol=1e-6)
    np.testing.assert_allclose(outputs(world, 1, 3)["values"], wanted.value, rtol=1e-6)
    assert world.arena["versions"][0][1].tolist() == [0, 0, 0, 0, 0]
    world.publish(9)
    actor.refresh()
    actor.act_one(0, 1, 3)
    assert world.arena["versions"][0][1].tolist() == [0, 0, 0, 9, 0]


class Dropping(MlpEncoder):
    def forward(self, obs: Any) -> Any:
        return torch.nn.functional.dropout(super().forward(obs), 0.5, self.training)


@pytest.mark.parametrize("many", [False, True])
def test_it_acts_in_evaluation_mode(many: bool, make_world: Any) -> None:
    world = make_world(num_groups=2)
    fill_observations(world)
    recipe = replace(world.recipe, parts=replace(world.recipe.parts, encoder=f"{__name__}:Dropping"))
    actor = make_actor(ReplicaSpec(recipe, stream=0), world.arena, world.shape, range(2))
    actor.refresh()
    if many:
        actor.act_many([0, 1], [0, 2], [1, 1], [False, False])
    else:
        actor.act_one(0, 0, 1)
    model = recipe.build()
    model.load_state_dict(world.model.state_dict())
    with torch.inference_mode():
        wanted = model.eval().act({"obs": torch.from_numpy(world.arena["obs.obs"][0, 1])}, None, None, deterministic=True)
    np.testing.assert_allclose(outputs(world, 0, 1)["params"], wanted.params, rtol=1e-5, atol=1e-6)


def test_actions_follow_from_the_seed_and_are_drawn(make_world: Any) -> None:
    world = make_world(group_size=200)
    fill_observations(world)

    def actions(seed: int) -> list[Any]:
        actor: Actor = world.actor(seed)
        drawn = []
        for t in range(3):
            actor.act_one(0, 0, t)
            drawn.append(world.arena["actions"][0, t].tolist())
        return drawn

    assert actions(1) == actions(1)
    assert actions(1) != actions(2)
    world.arena["obs.obs"][...] = 0
    actor = world.actor()
    actor.act_one(0, 0, 0)
    shares = np.bincount(world.arena["actions"][0, 0, :, 0], minlength=3) / 200
    probabilities = torch.softmax(torch.from_numpy(outputs(world, 0, 0)["params"][0]), -1).numpy()
    np.testing.assert_allclose(shares, probabilities, atol=5 * np.sqrt(0.25 / 200))


def test_new_weights_are_taken_when_asked_and_only_if_newer(make_world: Any) -> None:
    world = make_world()
    fill_observations(world)
    actor = world.actor()
    actor.act_one(0, 0, 0)
    before = outputs(world, 0, 0)["params"]
    with torch.no_grad():
        world.flat.params.mul_(2.0)
    world.publish(1)
    actor.act_one(0, 0, 0)
    np.testing.assert_array_equal(outputs(world, 0, 0)["params"], before)
    actor.refresh()
    assert actor.version == 1
    actor.act_one(0, 0, 0)
    assert not np.allclose(outputs(world, 0, 0)["params"], before)


@pytest.mark.parametrize("many", [False, True])
def test_an_observation_acted_on_again_is_seen_once_by_the_memory(make_world: Any, many: bool) -> None:
    world = make_world(num_groups=2, use_rnn=True)
    fill_observations(world)
    actor = world.actor()

    def act(slot: int, t: int, repeated: bool) -> None:
        if many:
            actor.act_many([1], [slot], [t], [repeated])
        else:
            actor.act_one(1, slot, t, repeated=repeated)

    act(2, 2, False)
    act(2, 3, False)
    first, state = outputs(world, 2, 3), actor.state.clone()
    world.arena["obs.obs"][2, 0] = world.arena["obs.obs"][2, 3]  # the slot is begun again with the present observation
    act(2, 0, True)
    np.testing.assert_allclose(outputs(world, 2, 0)["params"], first["params"], rtol=1e-6)
    torch.testing.assert_close(actor.state, state)
    assert world.arena["rnn_state"][2].any()
    act(2, 0, False)
    assert not np.allclose(outputs(world, 2, 0)["params"], first["params"]), "without it the memory would move twice"


@pytest.mark.parametrize("many", [False, True])
def test_memory_is_emptied_of_anything(make_world: Any, many: bool) -> None:
    """Also of NaN, which an environment's observation has left there before its worker was replaced."""
    world = make_world(use_rnn=True)
    fill_observations(world)
    world.arena["group.last_valid"][:] = False
    actor, fresh = world.actor(), world.actor()
    actor.state.fill_(torch.nan)
    for each in (fresh, actor):
        each.act_many([0], [1], [0], [False]) if many else each.act_one(0, 1, 0)
        assert not world.arena["rnn_state"][1].any()
    torch.testing.assert_close(actor.state, fresh.state)


def test_memory_is_kept_by_group(make_world: Any) -> None:
    world = make_world(num_groups=3, use_rnn=True)
    fill_observations(world)
    actor = world.actor()
    actor.act_one(1, 2, 0)
    assert [bool(state.any()) for state in actor.state] == [False, True, False]
    generator = torch.Generator()
    part = Actor(world.recipe.build(), world.arena, world.shape, range(1, 3), generator)
    part.refresh()
    part.act_one(1, 2, 0)
    torch.testing.assert_close(part.state[0], actor.state[1])


def test_every_step_and_every_slot_has_noise_of_its_own(make_world: Any) -> None:
    """The same observation throughout: what differs is what was drawn."""
    world = make_world(group_size=40)
    world.arena["obs.obs"][...] = 0.1
    actor = world.actor()
    seen = set()
    for slot in (0, 1, 0):
        for t in range(5):
            actor.act_one(0, slot, t)
            seen.add(world.arena["actions"][slot, t].tobytes())
    assert len(seen) == 15
