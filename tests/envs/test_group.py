"""A group steps as the environments in it, one by one, would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from group_support import MakeEnv, Mixed, Scripted, cart_pole, make_group, make_views, started, step
from gymnasium.wrappers import TimeLimit

from arl_core.envs.faults import EnvironmentFault
from arl_core.envs.group import make_contexts


class NaiveLoop:
    """One environment in gymnasium's next-step autoreset, written down as it is defined."""

    def __init__(self, env: gym.Env[Any, Any], seed: int) -> None:
        self.env = env
        self.observation, _ = env.reset(seed=seed)
        self.over = False

    def step(self, action: Any) -> tuple[float, bool, bool, bool]:
        """(reward, terminated, truncated, valid)."""
        if self.over:
            self.observation, _ = self.env.reset()
            self.over = False
            return 0.0, False, False, False
        self.observation, reward, terminated, truncated, _ = self.env.step(action)
        self.over = bool(terminated or truncated)
        return float(reward), bool(terminated), bool(truncated), True


def flat(observation: Any) -> dict[str, Any]:
    if isinstance(observation, dict):
        (bits,) = (part["bits"] for part in observation["parts"][1:])
        return {"image": observation["image"], "parts.0": observation["parts"][0], "parts.1.bits": bits}
    return {"obs": observation}


CASES: dict[str, MakeEnv] = {
    "CartPole": cart_pole,
    "Pendulum": lambda: gym.make("Pendulum-v1", max_episode_steps=13),
    "MountainCarContinuous": lambda: gym.make("MountainCarContinuous-v0", max_episode_steps=9),
    "FrozenLake": lambda: gym.make("FrozenLake-v1", max_episode_steps=17),
    "Mixed": lambda: TimeLimit(Mixed(), 8),
    "Mixed without limit": Mixed,
    "limits below a wrapper": lambda: gym.wrappers.RecordEpisodeStatistics(TimeLimit(TimeLimit(Mixed(), 4), 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_a_naive_loop_step_by_step(name: str) -> None:
    envs = 5
    group = make_group([CASES[name]] * envs, run_seed=3, first=10)
    naive = [NaiveLoop(CASES[name](), context.seed) for context in make_contexts(3, 10, envs)]
    space = naive[0].env.action_space
    space.seed(1)
    views = make_views(group)
    group.reset_into(views.obs)
    seen = {"terminated": 0, "truncated": 0, "invalid": 0}
    for t in range(160):
        for i, loop in enumerate(naive):
            for key, value in flat(loop.observation).items():
                np.testing.assert_array_equal(views.obs[key][i], np.asarray(value, views.obs[key].dtype), f"{key} {t} {i}")
        chosen = [space.sample() for _ in naive]
        columns = np.stack([np.reshape(action, -1) for action in chosen])
        step(group, views, columns)
        for i, (loop, action) in enumerate(zip(naive, chosen, strict=True)):
            reward, terminated, truncated, valid = loop.step(action)
            assert views.rewards[i] == np.float32(reward)
            assert (views.terminated[i], views.truncated[i], views.valid[i]) == (terminated, truncated, valid), (t, i)
            seen["terminated"] += terminated
            seen["truncated"] += truncated
            seen["invalid"] += not valid
    assert seen["invalid"] > 10
    if name in {"CartPole", "Mixed", "Mixed without limit"}:
        assert min(seen.values()) > 0
    group.close()


def test_a_step_after_an_ending_resets_and_ignores_its_action() -> None:
    group, views = started(lambda: Scripted(2), lambda: Scripted(3))
    rows = []
    for _ in range(6):
        step(group, views)
        rows.append((views.obs["obs"][:, 1:].tolist(), views.rewards.tolist(), views.valid.tolist()))
    assert [row[0][0] for row in rows] == [[1, 1], [1, 2], [2, 0], [2, 1], [2, 2], [3, 0]]
    assert [row[0][1] for row in rows] == [[1, 1], [1, 2], [1, 3], [2, 0], [2, 1], [2, 2]]
    assert [row[1][0] for row in rows] == [1, 2, 0, 1, 2, 0]
    assert [row[2][0] for row in rows] == [True, True, False, True, True, False]
    assert [row[2][1] for row in rows] == [True, True, True, False, True, True]
    assert len(group.envs[0].actions) == 4  # type: ignore[attr-defined]


def test_reset_into_begins_anew_in_the_middle() -> None:
    group, views = started(lambda: TimeLimit(Scripted(9), 2))
    step(group, views)
    step(group, views)
    assert views.truncated[0]
    group.reset_into(views.obs)
    for expected in ([False, True], [True, True]):
        step(group, views)
        assert [bool(views.truncated[0]), bool(views.valid[0])] == expected


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_an_ending_at_the_limit_is_both(ends: str) -> None:
    group, views = started(lambda: TimeLimit(Scripted(3, ends), 3), lambda: TimeLimit(Scripted(9), 3), lambda: Scripted(9))
    for _ in range(3):
        step(group, views)
    assert views.truncated.tolist() == [True, True, False]
    assert views.terminated.tolist() == [ends == "terminated", False, False]


def test_the_time_limit_is_taken_off_only_where_the_group_can_do_its_work() -> None:
    group, _ = started(lambda: TimeLimit(TimeLimit(Scripted(9), 5), 3))
    assert type(group.envs[0]) is Scripted
    outer, views = started(lambda: gym.wrappers.TransformReward(TimeLimit(Scripted(9), 2), lambda r: 10 * r))
    step(outer, views)
    step(outer, views)
    assert views.truncated[0]
    assert views.rewards[0] == 20


def test_streams_depend_on_the_environments_number_alone() -> None:
    whole = make_contexts(5, 0, 8, worker=0)
    parts = [context for worker in range(4) for context in make_contexts(5, 2 * worker, 2, worker)]
    assert [context.seed for context in whole] == [context.seed for context in parts]
    assert len({context.seed for context in whole}) == 8
    assert all(0 <= context.seed < 2**31 for context in whole)
    assert {context.seed for context in make_contexts(6, 0, 8)}.isdisjoint(context.seed for context in whole)
    assert [context.worker for context in parts] == [0, 0, 1, 1, 2, 2, 3, 3]
    lives = [make_contexts(5, 0, 8, life=life) for life in range(3)]
    assert len({context.seed for life in lives for context in life}) == 24, "a restarted worker does not repeat itself"
    assert lives[0] == whole


def test_observations_do_not_depend_on_the_grouping() -> None:
    def record(sizes: Sequence[int]) -> np.ndarray[Any, Any]:
        first, columns = 0, []
        for size in sizes:
            group = make_group([cart_pole] * size, run_seed=9, first=first)
            views = make_views(group)
            group.reset_into(views.obs)
            rows = []
            for t in range(60):
                step(group, views, np.full((size, 1), t % 2))
                rows.append(views.obs["obs"].copy())
            columns.append(np.stack(rows))
            first += size
        return np.concatenate(columns, axis=1)

    np.testing.assert_array_equal(record([6]), record([1, 2, 3]))


def test_an_array_that_the_environment_uses_again_is_copied() -> None:
    class Aliased(Scripted):
        def observe(self) -> Any:
            self.array = getattr(self, "array", np.zeros(3))
            self.array += 1
            return self.array

    group, views = started(lambda: Aliased(9))
    rows = [make_views(group) for _ in range(3)]
    for row in rows:
        step(group, row)
    assert [row.obs["obs"][0, 0] for row in rows] == [2, 3, 4]
    assert views.obs["obs"][0, 0] == 1


def test_an_array_that_environments_share_is_copied_before_another_writes_to_it() -> None:
    shared = np.zeros(3)

    class Sharing(Scripted):
        def observe(self) -> Any:
            shared[:] = super().observe()
            return shared

    group, views = started(*[lambda: Sharing(4)] * 3)
    own = [context.seed % 1000 for context in make_contexts(0, 0, 3)]
    for _ in range(12):
        step(group, views)
        assert views.obs["obs"][:, 0].tolist() == own


def test_rewards_of_any_number_type() -> None:
    values = [1, True, np.float32(0.5), np.float64(0.25), np.int64(-3), np.array(2.5)]
    group, views = started(*[lambda value=value: Scripted(9, reward=value) for value in values])
    step(group, views)
    assert views.rewards.tolist() == [1, 1, 0.5, 0.25, -3, 2.5]
    assert views.rewards.dtype == np.float32


def test_plain_lists_and_numbers_are_observations_too() -> None:
    group, views = started(lambda: Scripted(9, observation=[1.0, 2.0, 3.5]))
    step(group, views)
    assert views.obs["obs"].tolist() == [[1.0, 2.0, 3.5]]


def test_metrics_of_ends_come_from_info() -> None:
    info = {
        "score": 3,
        "solved": np.bool_(True),
        "half": np.float32(0.5),
        "one": np.array([7.0]),
        "many": np.zeros(3),
        "beyond": 10**400,
        "text": "x",
        "complex": np.complex64(1),
        "episode": {"r": np.array(12.5), "l": 40, "deep": {"er": 1}},
    }
    group, views = started(lambda: Scripted(2, info=info), lambda: Scripted(3), lambda: Scripted(2, info={"score": 4.5}))
    assert step(group, views) is None, "nothing ended"
    ends = step(group, views)
    assert ends is not None
    assert ends.rows.tolist() == [0, 2]
    expected = {"score": [3, 4.5], "solved": [1, np.nan], "half": [0.5, np.nan], "one": [7, np.nan]}
    expected |= {"episode.r": [12.5, np.nan], "episode.l": [40, np.nan]}
    assert set(ends.metrics) == set(expected)
    for key, values in expected.items():
        np.testing.assert_array_equal(ends.metrics[key], values)
    assert step(group, views) is None, "the third has no info"


def test_an_info_that_is_none_is_no_metric() -> None:
    group, views = started(lambda: Scripted(1, info=None), lambda: Scripted(1, info={"score": 2}))
    ends = step(group, views)
    assert ends is not None
    np.testing.assert_array_equal(ends.metrics["score"], [np.nan, 2])


def test_an_info_that_is_no_mapping_is_named() -> None:
    group, views = started(lambda: Scripted(9), lambda: Scripted(1, info=[1]))
    with pytest.raises(EnvironmentFault, match=r"environment 1 .*failed in step.*info is list, not a dict"):
        step(group, views)


def test_metrics_at_a_peeled_time_limit() -> None:
    group, views = started(lambda: TimeLimit(Scripted(9, info={"score": 1}), 2))
    assert step(group, views) is None
    ends = step(group, views)
    assert ends is not None
    assert ends.metrics["score"].tolist() == [1.0]
