"""Gymnasium's vector environments as groups: equal to single environments, saved, refused where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from group_support import MakeEnv, Mixed, Scripted, cart_pole, make_views, step
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from arl_core.envs.faults import EnvironmentFault
from arl_core.envs.group import SingleEnvGroup
from arl_core.envs.vector_env import VectorEnvGroup, VectorOfOne, make_single
from arl_core.interfaces import EnvContext, UserError

ENVS = 4
SEED = 11
CONTEXTS = [EnvContext(run_seed=0, index=i, seed=SEED + i) for i in range(ENVS)]  # as SyncVectorEnv spreads one seed


class TwoHands(Scripted):
    """A composite action, counted from 1 in one part; it observes what it was given."""

    def __init__(self) -> None:
        super().__init__(length=6, ends="truncated")
        self.action_space = spaces.Tuple((spaces.Discrete(3, start=1), spaces.Dict({"push": spaces.Box(-1, 1, (2,))})))
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def observe(self) -> Any:
        last = self.actions[-1] if self.actions and self.steps else (0, {"push": np.zeros(2)})
        return np.array([last[0], *last[1]["push"], self.steps], np.float32)


CASES: dict[str, MakeEnv] = {
    "CartPole": cart_pole,
    "Pendulum": lambda: gym.make("Pendulum-v1", max_episode_steps=13),
    "Blackjack": lambda: gym.make("Blackjack-v1"),
    "Mixed": lambda: TimeLimit(Mixed(), 8),
    "TwoHands": TwoHands,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_single_environments_step_by_step(name: str) -> None:
    make = CASES[name]
    single = SingleEnvGroup([make() for _ in range(ENVS)], CONTEXTS)
    vector = VectorEnvGroup(SyncVectorEnv([make] * ENVS), CONTEXTS)
    assert vector.obs_specs == single.obs_specs
    views, theirs = make_views(vector), make_views(single)
    vector.reset_into(views.obs)
    single.reset_into(theirs.obs)
    layout = single._layout
    space = single.envs[0].action_space
    space.seed(5)
    invalid = 0
    for _ in range(120):
        for key, value in theirs.obs.items():
            np.testing.assert_array_equal(views.obs[key], value, key)
        columns = np.concatenate([layout.to_columns(space.sample()) for _ in range(ENVS)])
        ends, expected = step(vector, views, columns), step(single, theirs, columns)
        for mine, other in zip(views[1:], theirs[1:], strict=True):
            np.testing.assert_array_equal(mine, other)
        if expected is not None:
            assert ends is not None
            np.testing.assert_array_equal(ends.rows, expected.rows)
            for metric, values in expected.metrics.items():
                np.testing.assert_array_equal(ends.metrics[metric], values)
        invalid += int((~views.valid).sum())
    assert invalid > 10
    vector.close()
    vector.close()


def test_metrics_of_some_environments_are_nan_for_the_others() -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.wrappers.RecordEpisodeStatistics(Scripted(length=3, info={"depth": {"now": 2}, "text": "x"}))

    group = VectorEnvGroup(SyncVectorEnv([make, lambda: Scripted(length=3), make, make]), CONTEXTS)
    views = make_views(group)
    group.reset_into(views.obs)
    ends = [step(group, views) for _ in range(3)]
    assert ends[:2] == [None, None]
    assert ends[2] is not None
    np.testing.assert_array_equal(ends[2].metrics["episode.r"], [6, np.nan, 6, 6])
    np.testing.assert_array_equal(ends[2].metrics["depth.now"], [2, np.nan, 2, 2])
    assert "text" not in ends[2].metrics


def cart_poles(seed: int) -> VectorEnvGroup:
    contexts = [EnvContext(run_seed=0, index=i, seed=seed) for i in range(ENVS)]
    return VectorEnvGroup(CartPoleVectorEnv(ENVS, max_episode_steps=20), contexts)


def test_cart_poles_are_saved_bit_for_bit() -> None:
    group, other = cart_poles(1), cart_poles(2)
    views, theirs = make_views(group), make_views(other)
    group.reset_into(views.obs)
    other.reset_into(theirs.obs)
    rng = np.random.default_rng(0)
    for _ in range(33):
        step(group, views, rng.integers(0, 2, (ENVS, 1)))
    state = group.get_state()
    assert state is not None
    other.set_state(state)
    for _ in range(60):
        columns = rng.integers(0, 2, (ENVS, 1))
        step(group, views, columns)
        step(other, theirs, columns)
        for mine, his in zip((views.obs["obs"], *views[1:]), (theirs.obs["obs"], *theirs[1:]), strict=True):
            assert mine.tobytes() == his.tobytes()
    with pytest.raises(ValueError, match="not one of 4 environments that step together"):
        group.set_state({**state, "ended": state["ended"][:2]})


def test_what_cannot_be_saved_says_so() -> None:
    group = VectorEnvGroup(SyncVectorEnv([cart_pole] * ENVS), CONTEXTS)
    assert group.get_state() is None
    group.close()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_are_refused(mode: AutoresetMode) -> None:
    with pytest.raises(UserError, match=rf"SyncVectorEnv: autoreset mode {mode.name}: only one that resets in the step after"):
        VectorEnvGroup(SyncVectorEnv([cart_pole] * ENVS, autoreset_mode=mode), CONTEXTS)


def test_another_number_of_environments_is_refused() -> None:
    with pytest.raises(UserError, match="CartPoleVectorEnv has 3 environments where 4 were asked for"):
        VectorEnvGroup(CartPoleVectorEnv(3), CONTEXTS)


class Wrong(CartPoleVectorEnv):
    """Answers as it is told."""

    def __init__(self, answer: Callable[[Any], Any], num_envs: int = ENVS) -> None:
        super().__init__(num_envs)
        self.answer = answer

    def step(self, action: Any) -> Any:
        return self.answer(super().step(action))


def raising(_: Any) -> Any:
    raise RuntimeError("the simulator is gone")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (raising, "RuntimeError: the simulator is gone"),
        (lambda result: (result[0][:1], *result[1:]), r"observations 'obs' have shape \(1, 4\), their space says \(4, 4\)"),
        (lambda result: result[:4], "not enough values to unpack"),
        (lambda result: (result[0], np.zeros(3), *result[2:]), "could not broadcast"),
    ],
)
def test_faults_name_the_environments(answer: Callable[[Any], Any], told: str) -> None:
    group = VectorEnvGroup(Wrong(answer), CONTEXTS)
    views = make_views(group)
    group.reset_into(views.obs)
    with pytest.raises(EnvironmentFault, match=rf"environment 0 .*failed in step of 4 environments together: .*{told}"):
        step(group, views)


def one_cart_pole(render_mode: str | None = None) -> VectorOfOne:
    return make_single(
        options=None,
        context=EnvContext(run_seed=0, index=0, seed=3, render_mode=render_mode),
        target="gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv",
        arguments={"max_episode_steps": 5},
    )


def test_one_of_them_is_a_gymnasium_environment() -> None:
    env = one_cart_pole()
    first, _ = env.reset()
    assert env.observation_space.contains(first)
    ends = [env.step(1)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]
    env.close()


def test_one_of_them_is_drawn() -> None:
    pytest.importorskip("pygame")
    env = one_cart_pole("rgb_array")
    env.reset()
    picture = env.render()
    assert picture.shape == (400, 600, 3)
    assert len(np.unique(picture)) > 3
    env.close()
