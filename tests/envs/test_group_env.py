"""A single environment made of a group of one, and single actions as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.group import SingleEnvGroup
from arl_core.envs.group_env import GroupEnv
from arl_core.envs.spaces import ActionLayout
from arl_core.interfaces import EnvContext, EnvGroup

OBSERVATIONS = spaces.Dict({"place": spaces.Box(-9, 9, (2,), np.float64), "pair": spaces.Tuple((spaces.Discrete(9),))})
ACTIONS = spaces.Dict({"go": spaces.Discrete(3, start=-1), "far": spaces.Box(0, 2, (2,), np.float32)})


class Walk(gymnasium.Env[Any, Any]):
    """Episodes of random lengths, with nested spaces."""

    observation_space = OBSERVATIONS
    action_space = ACTIONS

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2)
        self.left = int(self.np_random.integers(2, 8))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = self.place + action["go"] * action["far"]
        self.left -= 1
        return self._seen(), float(self.place[0]), self.left == 0, False, {"reached": self.place[1]} if self.left == 0 else {}

    def _seen(self) -> Any:
        return {"place": np.clip(self.place, -9, 9), "pair": (np.int64(self.left),)}


def group_of_one(context: EnvContext) -> EnvGroup:
    return SingleEnvGroup([Walk()], [context])


def same(one: Any, other: Any) -> bool:
    return bool(np.allclose(one["place"], other["place"], atol=1e-5) and one["pair"] == other["pair"])


def test_it_steps_as_the_environment_in_the_group_does() -> None:
    env, plain = GroupEnv(group_of_one, EnvContext(0, 0, 5), OBSERVATIONS, ACTIONS), Walk()
    ACTIONS.seed(3)
    one, other = env.reset()[0], plain.reset(seed=5)[0]
    episodes = 0
    for _ in range(60):
        assert same(one, other)
        assert OBSERVATIONS.contains(one)
        action = ACTIONS.sample()
        left, right = env.step(action), plain.step(action)
        one, other = left[0], right[0]
        assert left[1] == pytest.approx(right[1], abs=1e-5)
        assert left[2:4] == right[2:4]
        assert left[4].keys() == right[4].keys()
        if left[2]:
            assert left[4]["reached"] == pytest.approx(right[4]["reached"])
            one, other = env.reset()[0], plain.reset()[0]
            episodes += 1
    assert episodes > 5
    env.close()
    env.close()


def test_a_seed_begins_anew_and_a_reset_in_the_middle_is_a_new_episode() -> None:
    env = GroupEnv(group_of_one, EnvContext(0, 0, 5), OBSERVATIONS, ACTIONS)
    first = env.reset()[0]
    env.step({"go": 1, "far": np.ones(2, np.float32)})
    middle = env.reset()[0]
    assert not same(first, middle)
    assert same(env.reset(seed=5)[0], first)
    again = GroupEnv(group_of_one, EnvContext(0, 0, 5), OBSERVATIONS, ACTIONS)
    again.reset()
    again.step({"go": 1, "far": np.ones(2, np.float32)})
    assert same(again.reset()[0], middle)  # nothing but the context's seed decides


def test_what_it_returns_stays_as_it_is() -> None:
    env = GroupEnv(group_of_one, EnvContext(0, 0, 5), OBSERVATIONS, ACTIONS)
    seen: list[NDArray[Any]] = [env.reset(seed=1)[0]["place"]]
    kept = seen[0].copy()
    env.step({"go": 1, "far": np.ones(2, np.float32)})
    np.testing.assert_array_equal(seen[0], kept)


def test_a_step_before_the_first_reset_is_named() -> None:
    env = GroupEnv(group_of_one, replace(EnvContext(0, 0, 5), worker=2), OBSERVATIONS, ACTIONS)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(ACTIONS.sample())


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([3, 4], start=[1, -1]),
        spaces.MultiBinary(3),
        spaces.Box(-1, 1, (2, 2), np.float32),
        ACTIONS,
        spaces.Tuple((spaces.Discrete(2), spaces.MultiDiscrete([2, 5]))),
    ],
)
def test_an_action_goes_into_columns_and_back(space: spaces.Space[Any]) -> None:
    layout = ActionLayout(space)
    space.seed(1)
    for _ in range(10):
        action = space.sample()
        columns = layout.to_columns(action)
        assert columns.shape == (1, layout.size)
        assert columns.dtype == layout.dtype
        (back,) = layout.to_env(columns)
        flat = (spaces.utils.flatten(space, value) for value in (action, back))
        np.testing.assert_array_equal(*flat)


def cart_pole(seed: int) -> GroupEnv:
    plain = gymnasium.make("CartPole-v1").unwrapped
    spaces_of = plain.observation_space, plain.action_space
    return GroupEnv(lambda context: SingleEnvGroup([plain], [context]), EnvContext(0, 0, seed), *spaces_of)


def played(env: GroupEnv, steps: int, ended: bool) -> tuple[list[Any], bool]:
    """What is seen in some steps to the left, where the last one may have ended an episode; whether the last of these has."""
    seen: list[Any] = []
    for _ in range(steps):
        if ended:
            seen.append(env.reset()[0])
        observation, _, ended, _, _ = env.step(0)
        seen.append(observation)
    return seen, ended


@pytest.mark.parametrize("steps", range(6, 14))  # at one of them an episode ends
def test_it_is_saved_where_its_group_can_be(steps: int) -> None:
    one, other = cart_pole(5), cart_pole(6)
    one.reset()
    _, ended = played(one, steps, ended=False)
    state = one.get_state()
    assert state is not None
    other.set_state(state)
    assert np.array_equal(played(one, 60, ended)[0], played(other, 60, ended)[0])
    for env in (one, other):
        env.reset()
    anew = [env.reset()[0] for env in (one, other)]  # in the middle of an episode: in a new group
    assert np.array_equal(*anew)


def test_it_is_not_saved_where_its_group_cannot_be() -> None:
    env = GroupEnv(group_of_one, EnvContext(0, 0, 5), OBSERVATIONS, ACTIONS)
    assert env.get_state() is None
    env.reset()
    assert env.get_state() is None
