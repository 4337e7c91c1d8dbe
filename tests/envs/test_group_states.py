"""Saved groups."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from group_support import Mixed, cart_pole, make_group, make_views, started, step
from gymnasium import spaces

STATE_CASES = {
    "CartPole-v1": 30,
    "Acrobot-v1": 25,
    "MountainCar-v0": 20,
    "MountainCarContinuous-v0": 20,
    "Pendulum-v1": 15,
}


@pytest.mark.parametrize("name", STATE_CASES)
def test_a_saved_group_goes_on_bit_for_bit(name: str) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make(name, max_episode_steps=STATE_CASES[name])

    group = make_group([make] * 3)
    views = make_views(group)
    group.reset_into(views.obs)
    space = group.envs[0].action_space
    rng = np.random.default_rng(4)

    def actions() -> Any:
        if isinstance(space, spaces.Discrete):
            return rng.integers(0, space.n, (3, 1))
        return rng.normal(size=(3, 1)).astype(np.float32)

    for _ in range(37):
        step(group, views, actions())
    state = group.get_state()
    assert state is not None
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    state = {key: value.copy() for key, value in state.items()}
    other = make_group([make] * 3, run_seed=99)
    views_of_other = make_views(other)
    other.reset_into(views_of_other.obs)
    other.set_state(state)
    for _ in range(70):
        chosen = actions()
        step(group, views, chosen)
        step(other, views_of_other, chosen)
        for mine, theirs in zip((views.obs["obs"], *views[1:]), (views_of_other.obs["obs"], *views_of_other[1:]), strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_a_state_is_of_arrays_of_its_own() -> None:
    group, views = started(cart_pole)
    state = group.get_state()
    assert state is not None
    before = {key: value.copy() for key, value in state.items()}
    for _ in range(5):
        step(group, views)
    for key, value in before.items():
        np.testing.assert_array_equal(state[key], value)


def test_what_cannot_be_saved_says_so() -> None:
    group, _ = started(cart_pole, cart_pole)
    assert group.get_state() is not None
    assert make_group([Mixed, Mixed]).get_state() is None


def test_a_state_that_does_not_fit_is_refused() -> None:
    two, _ = started(*[cart_pole] * 2)
    three, _ = started(*[cart_pole] * 3)
    state = two.get_state()
    assert state is not None
    with pytest.raises(ValueError, match="of 2 environments, this group has 3"):
        three.set_state(state)
    with pytest.raises(ValueError, match="not one of single environments"):
        three.set_state({"x": np.zeros(3)})
