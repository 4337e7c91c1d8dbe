"""`decorrelate_steps`: environments do not begin their episodes together."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from arl_core.envs.decorrelate import Decorrelation, RandomActions, ends_episodes
from arl_core.envs.group import SingleEnvGroup, make_contexts
from arl_core.envs.spaces import ActionLayout
from arl_core.envs.wrappers.rewards import RewardScaleGroup
from arl_core.interfaces import StepViews

LENGTH = 30
MIXED = spaces.Dict(
    {
        "a": spaces.Discrete(4, start=2),
        "b": spaces.Box(np.array([-2.0, -np.inf, 5.0], np.float32), np.array([1.0, np.inf, np.inf], np.float32)),
        "c": spaces.MultiDiscrete([2, 3]),
        "d": spaces.MultiBinary(2),
    }
)


class Clock(gym.Env[Any, Any]):
    """Episodes of LENGTH steps; observes its age, how many episodes it has begun and its last action."""

    observation_space = spaces.Box(-1, 1e6, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self) -> None:
        self.episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.age, self.episodes = 0, self.episodes + 1
        return np.array([0, self.episodes, -1], np.float32), {}

    def step(self, action: int) -> Any:
        self.age += 1
        return np.array([self.age, self.episodes, action], np.float32), 0.0, False, self.age == LENGTH, {}


def clocks(count: int, first: int = 0) -> tuple[SingleEnvGroup, dict[str, Any], Any]:
    contexts = make_contexts(7, first, count)
    group = SingleEnvGroup([Clock() for _ in range(count)], contexts)
    obs = {"obs": np.zeros((count, 3), np.float32)}
    group.reset_into(obs)
    return group, obs, contexts


def ages_after(group: Any, obs: dict[str, Any], frames: int) -> Any:
    """Ages [E] after so many further steps."""
    rows = len(obs["obs"])
    views = StepViews(obs, np.zeros(rows, np.float32), *np.zeros((3, rows), bool))
    for _ in range(frames):
        group.send(np.zeros((rows, 1), np.int64))
        group.recv_into(views)
    return obs["obs"][:, 0].astype(int)


def test_ages_spread_over_the_episode_and_stay_so() -> None:
    group, obs, _ = clocks(64)
    assert np.ptp(ages_after(group, obs, 200)) == 0, "all end together without it"
    group, obs, contexts = clocks(64)
    on_their_way = Decorrelation(LENGTH - 1, Clock.action_space).play(group, obs, contexts)
    first = obs["obs"][:, 0].astype(int)
    seeds = [np.random.SeedSequence(context.seed, spawn_key=(1,)) for context in contexts]
    drawn = [np.random.default_rng(seed).integers(LENGTH) for seed in seeds]
    np.testing.assert_array_equal(first, drawn, "each as old as the number that it drew, from 0 to all steps")
    np.testing.assert_array_equal(on_their_way, first > 0)
    assert (obs["obs"][:, 1] <= 2).all(), "began at most once more"
    for ages in (first, ages_after(group, obs, 200)):
        assert len(np.unique(ages)) > LENGTH / 2
        shares = np.histogram(ages, bins=3, range=(0, LENGTH))[0] / len(ages)
        assert (shares > 0.15).all(), "every third of the episode is about equally full"


def test_a_row_depends_on_its_own_stream_alone() -> None:
    many, obs, contexts = clocks(12)
    Decorrelation(50, Clock.action_space).play(many, obs, contexts)
    for first, count in ((0, 3), (3, 9)):  # other groups, as with another number of workers
        few, part, some = clocks(count, first)
        Decorrelation(50, Clock.action_space).play(few, part, some)
        np.testing.assert_array_equal(obs["obs"][first : first + count], part["obs"])
    again, same, contexts = clocks(12)
    Decorrelation(50, Clock.action_space).play(again, same, contexts)
    np.testing.assert_array_equal(obs["obs"], same["obs"])


def test_no_steps_play_nothing() -> None:
    group, obs, contexts = clocks(3)
    assert not Decorrelation(0, Clock.action_space).play(group, obs, contexts).any()
    assert not obs["obs"][:, 0].any()


def test_rows_that_cannot_begin_anew_singly_play_alike() -> None:
    group, obs, contexts = clocks(5)
    inner = RewardScaleGroup(group, Clock.observation_space, 2.0)
    assert ends_episodes(group)
    assert ends_episodes(inner), "wrappers pass it on"
    group.end_episodes = None  # type: ignore[method-assign, assignment]
    assert not ends_episodes(inner)
    beats: list[int] = []
    on_their_way = Decorrelation(25, Clock.action_space).play(inner, obs, contexts, lambda: beats.append(1))
    assert np.ptp(obs["obs"][:, 0]) == 0
    assert obs["obs"][0, 0] == len(beats) > 0
    assert on_their_way.all()


def streams(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def test_random_actions_of_every_kind_are_in_the_space() -> None:
    layout, actions = ActionLayout(MIXED), RandomActions(MIXED, streams(200))
    columns = actions.draw(None)
    assert columns.shape == (200, layout.size)
    assert columns.dtype == layout.dtype
    assert all(MIXED.contains(action) for action in layout.to_env(columns))
    for column, count in ((0, 4), (4, 2), (5, 3), (6, 2), (7, 2)):
        assert set(columns[:, column]) == set(range(count))
    spread = columns[:, 1:4]
    assert (np.ptp(spread, 0) > 1.5).all()
    assert (columns != actions.draw(None)).any()


def test_random_actions_obey_the_mask() -> None:
    mask = np.zeros((200, 9), np.int8)
    mask[:, [1, 3, 5, 8]] = 1  # of four: two; of two: one; of three: the last
    mask[0] = 0  # none allowed: any
    columns = RandomActions(MIXED, streams(200)).draw(mask)
    assert set(columns[1:, 0]) == {1, 3}
    assert set(columns[1:, 4]) == {1}
    assert set(columns[1:, 5]) == {2}
    assert abs((columns[1:, 0] == 1).mean() - 0.5) < 0.15


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-1, 1, (2, 2)), spaces.MultiBinary(3)])
def test_random_actions_of_plain_spaces(space: Any) -> None:
    layout = ActionLayout(space)
    assert all(space.contains(action) for action in layout.to_env(RandomActions(space, streams(20)).draw(None)))
