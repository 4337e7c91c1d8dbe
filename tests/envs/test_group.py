from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from arl_core.envs.group import EnvironmentFault, SingleEnvGroup, build_group, make_contexts
from arl_core.interfaces import EpisodeEnds, ResolvedEnv, StepViews, UserError

MakeEnv = Callable[[], "gym.Env[Any, Any]"]


class Scripted(gym.Env[Any, Any]):
    """Ends after `length` steps; observes its seed, its episode and its step; says what it was told in `info`."""

    def __init__(self, length: int = 3, ends: str = "terminated", **answers: Any) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = spaces.Discrete(4)
        self.length, self.ends, self.answers = length, ends, answers
        self.episode, self.steps, self.seed, self.is_closed = 0, 0, -1, False
        self.actions: list[Any] = []

    def observe(self) -> Any:
        return np.array([self.seed % 1000, self.episode, self.steps], np.float64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.episode, self.steps = self.episode + 1, 0
        return self.answers.get("first", self.observe()), {}

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        self.steps += 1
        over = self.steps >= self.length
        answer = {
            "observation": self.observe(),
            "reward": float(self.steps),
            "terminated": over and self.ends == "terminated",
            "truncated": over and self.ends == "truncated",
            "info": {},
            **self.answers,
        }
        return tuple(answer[key] for key in ("observation", "reward", "terminated", "truncated", "info"))

    def close(self) -> None:
        self.is_closed = True
        if self.answers.get("close") is not None:
            raise self.answers["close"]


class Mixed(gym.Env[Any, Any]):
    """A Dict in which a Tuple lies, a MultiDiscrete action; the arrays that it returns are always the same ones."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (2, 3), np.uint8),
                "parts": spaces.Tuple((spaces.Discrete(50), spaces.Dict({"bits": spaces.MultiBinary(4)}))),
            }
        )
        self.action_space = spaces.MultiDiscrete([3, 5])
        self._image, self._bits = np.zeros((2, 3), np.uint8), np.zeros(4, np.int8)
        self._left = 0

    def _observe(self) -> Any:
        self._image[:] = self.np_random.integers(0, 256, (2, 3))
        self._bits[:] = self.np_random.integers(0, 2, 4)
        return {"image": self._image, "parts": (self._left, {"bits": self._bits})}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(1, 12))
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self._left -= 1
        reward = float(action[0]) - float(action[1]) / 7
        return self._observe(), reward, self._left == 0, bool(self.np_random.random() < 0.05), {"left": self._left}


def make_group(makers: Sequence[MakeEnv], run_seed: int = 0, first: int = 0) -> SingleEnvGroup:
    return SingleEnvGroup([make() for make in makers], make_contexts(run_seed, first, len(makers)))


def make_views(group: SingleEnvGroup) -> StepViews:
    envs = group.num_envs
    obs = {key: np.full((envs, *spec.shape), 77, spec.dtype) for key, spec in group.obs_specs.items()}
    flags = [np.ones(envs, bool) for _ in range(3)]
    return StepViews(obs, np.full(envs, np.nan, np.float32), *flags)


def started(*makers: MakeEnv) -> tuple[SingleEnvGroup, StepViews]:
    group = make_group(makers)
    views = make_views(group)
    group.reset_into(views.obs)
    return group, views


def step(group: SingleEnvGroup, views: StepViews, actions: Any = None) -> EpisodeEnds | None:
    group.send(np.zeros((group.num_envs, 1), np.int64) if actions is None else actions)
    return group.recv_into(views)


def many_steps(group: SingleEnvGroup, views: StepViews) -> None:
    for _ in range(40):
        step(group, views, np.zeros((group.num_envs, 2), np.int64))


# --------------------------------------------------------------------------- against a naive loop


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
    "CartPole": lambda: gym.make("CartPole-v1", max_episode_steps=25),
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


# --------------------------------------------------------------------------- time limits, seeds


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
            group = make_group([CASES["CartPole"]] * size, run_seed=9, first=first)
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


# --------------------------------------------------------------------------- values


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


def test_metrics_at_a_peeled_time_limit() -> None:
    group, views = started(lambda: TimeLimit(Scripted(9, info={"score": 1}), 2))
    assert step(group, views) is None
    ends = step(group, views)
    assert ends is not None
    assert ends.metrics["score"].tolist() == [1.0]


# --------------------------------------------------------------------------- faults


def raising(error: BaseException) -> Any:
    class Raises(Scripted):
        def step(self, action: Any) -> Any:
            if self.steps == 2:
                raise error
            return super().step(action)

    return Raises


BAD_STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "short observation": ({"observation": np.zeros(2)}, r"observation 'obs' has shape \(2,\), its space says \(3,\)"),
    "one number": ({"observation": 0.5}, r"observation 'obs' has shape \(\), its space says \(3,\)"),
    "stretchable": ({"observation": np.zeros(1)}, r"observation 'obs' has shape \(1,\), its space says \(3,\)"),
    "long list": ({"observation": [0.0] * 4}, r"observation 'obs' has shape \(4,\), its space says \(3,\)"),
    "no observation": ({"observation": None}, r"observation 'obs' has shape \(\)"),
    "reward None": ({"reward": None}, "reward None, terminated False, truncated False: a number and two truth values"),
    "reward text": ({"reward": "1"}, "reward '1', terminated"),
    "reward array": ({"reward": np.zeros(2)}, "reward array.*: a number and two truth values are wanted"),
    "flag array": ({"terminated": np.zeros(2, bool)}, "reward 1.0, terminated array"),
    "flag array 2": ({"truncated": [True, False]}, r"reward 1.0, terminated False, truncated \[True, False\]"),
}


@pytest.mark.parametrize("name", BAD_STEPS)
def test_a_step_that_breaks_the_contract_is_named(name: str) -> None:
    answers, message = BAD_STEPS[name]
    group, views = started(lambda: Scripted(9), lambda: Scripted(9, **answers), lambda: Scripted(9))
    seed = make_contexts(0, 0, 3)[1].seed
    named = rf"environment 1 \(worker 0, seed {seed}\) failed in step, 0 steps into its episode: \w+Error: {message}"
    with pytest.raises(EnvironmentFault, match=named):
        step(group, views)


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), ZeroDivisionError("broken")])
@pytest.mark.parametrize("limit", [None, 5])
def test_what_a_step_raises_is_named_with_its_place(error: BaseException, limit: int | None) -> None:
    def make() -> gym.Env[Any, Any]:
        env = raising(error)(9)
        return env if limit is None else TimeLimit(env, limit)

    group, views = started(lambda: Scripted(1), make)
    step(group, views)
    step(group, views)
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* failed in step, 2 steps into its episode") as caught:
        step(group, views)
    assert caught.value.__cause__ is error


def test_ctrl_c_is_no_fault_of_the_environment() -> None:
    group, views = started(lambda: raising(KeyboardInterrupt())(9))
    step(group, views)
    step(group, views)
    with pytest.raises(KeyboardInterrupt):
        step(group, views)


def test_a_wrong_number_of_values_is_named() -> None:
    class Short(Scripted):
        def step(self, action: Any) -> Any:
            return super().step(action)[:4]

    group, views = started(lambda: Scripted(9), lambda: Short(9))
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* failed in step, 0 steps"):
        step(group, views)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (np.zeros(1), r"observation 'obs' has shape \(1,\), its space says \(3,\)"),
        (np.zeros((1, 3)), r"has shape \(1, 3\)"),
        (None, "failed in reset"),
    ],
)
def test_a_reset_that_breaks_the_contract_is_named(first: Any, message: str) -> None:
    group = make_group([Scripted, lambda: Scripted(2, first=first)], first=40)
    with pytest.raises(EnvironmentFault, match=f"environment 41 .* failed in reset.*{message}|{message}"):
        group.reset_into(make_views(group).obs)


def test_a_reset_that_fails_later_is_named_as_a_reset() -> None:
    class Once(Scripted):
        def reset(self, **kwargs: Any) -> Any:
            if self.episode == 1:
                raise OSError("no more levels")
            return super().reset(**kwargs)

    group, views = started(lambda: Once(1))
    step(group, views)
    with pytest.raises(EnvironmentFault, match=r"failed in reset, 1 steps into its episode: OSError: no more levels"):
        step(group, views)


def test_parts_of_an_observation_are_checked_too() -> None:
    class WrongPart(Mixed):
        def _observe(self) -> Any:
            observation = super()._observe()
            if self._left < 3:
                observation["image"] = np.zeros((1, 3), np.uint8)  # NumPy would stretch it
            return observation

    group, views = started(WrongPart)
    with pytest.raises(EnvironmentFault, match=r"observation 'image' has shape \(1, 3\), its space says \(2, 3\)"):
        many_steps(group, views)


def test_fractions_where_the_space_has_integers_are_an_error() -> None:
    class Normalised(Mixed):
        def _observe(self) -> Any:
            observation = super()._observe()
            observation["image"] = observation["image"] / 255
            return observation

    group = make_group([Normalised])
    with pytest.raises(EnvironmentFault, match="observation 'image' is float64, its space says uint8"):
        group.reset_into(make_views(group).obs)


def test_environments_of_a_group_have_one_space() -> None:
    with pytest.raises(EnvironmentFault, match=r"environment 1 .*construction: ValueError: it has .*, the first has"):
        make_group([Scripted, Mixed])


# --------------------------------------------------------------------------- construction and end


def resolved(**changes: Any) -> ResolvedEnv:
    values: dict[str, Any] = {
        "id": "test:test",
        "maker": f"{__name__}:unused",
        "kwargs": {},
        "options_model": None,
        "options": {},
        "wrappers": (),
        "max_episode_steps": None,
        "vector_maker": None,
        "dist": "",
        "version": "",
    }
    return ResolvedEnv(**{**values, **changes})


def by_value(make: Callable[..., Any], **changes: Any) -> ResolvedEnv:
    import cloudpickle

    return resolved(maker="arl_core.envs.make:make_target", code=cloudpickle.dumps(make), **changes)


def test_build_group_builds_each_environment_with_its_context() -> None:
    group = build_group(by_value(Scripted, max_episode_steps=2), make_contexts(0, 0, 3))
    assert isinstance(group, SingleEnvGroup)
    views = make_views(group)
    group.reset_into(views.obs)
    assert views.obs["obs"][:, 0].tolist() == [context.seed % 1000 for context in make_contexts(0, 0, 3)]
    step(group, views)
    step(group, views)
    assert views.truncated.all()
    group.close()


def test_an_environment_that_cannot_be_built_is_named_and_the_others_are_closed() -> None:
    made: list[Any] = []

    def make() -> Any:
        if len(made) == 2:
            raise OSError("no display")
        made.append(Scripted())
        return made[-1]

    with pytest.raises(
        EnvironmentFault, match=r"environment 7 \(worker 2, seed \d+\) failed in construction: OSError: no disp"
    ):
        build_group(_with_target(make), make_contexts(0, 5, 4, worker=2))
    assert [env.is_closed for env in made] == [True, True]


def _with_target(make: Callable[[], Any]) -> ResolvedEnv:
    """A description whose maker is a function of this process."""
    import sys
    import types

    module = types.ModuleType("arl_test_targets")
    module.make = lambda *, options, context: make()  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return resolved(maker="arl_test_targets:make")


def test_a_users_mistake_stays_one() -> None:
    def make() -> Any:
        raise UserError("no level 'x'")

    with pytest.raises(UserError, match="no level 'x'"):
        build_group(_with_target(make), make_contexts(0, 0, 2))


def test_a_vector_maker_is_used_where_there_is_one() -> None:
    import sys
    import types

    module = types.ModuleType("arl_test_vector")
    module.vector = lambda *, options, contexts, **kwargs: ("vector", options, len(contexts), kwargs)  # type: ignore[attr-defined]
    module.broken = lambda **kwargs: 1 // 0  # type: ignore[attr-defined]
    module.make = lambda *, options, context, **kwargs: Scripted()  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    given = {"maker": "arl_test_vector:make", "vector_maker": "arl_test_vector:vector", "kwargs": {"size": 5}}
    assert build_group(resolved(**given), make_contexts(0, 0, 3)) == ("vector", None, 3, {"size": 5})
    single = build_group(resolved(**{**given, "vector_maker": None}), make_contexts(0, 0, 3))
    assert isinstance(single, SingleEnvGroup)
    with pytest.raises(EnvironmentFault, match=r"environment 4 .*construction: ZeroDivisionError"):
        build_group(resolved(**{**given, "vector_maker": "arl_test_vector:broken"}), make_contexts(0, 4, 3))


def test_closing_closes_all_and_names_the_one_that_fails() -> None:
    group = make_group([Scripted, lambda: Scripted(close=OSError("stuck")), Scripted])
    envs: list[Any] = list(group.envs)
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* failed in close: OSError: stuck"):
        group.close()
    assert all(env.is_closed for env in envs)
    group.close()


# --------------------------------------------------------------------------- states


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
    group, views = started(CASES["CartPole"])
    state = group.get_state()
    assert state is not None
    before = {key: value.copy() for key, value in state.items()}
    for _ in range(5):
        step(group, views)
    for key, value in before.items():
        np.testing.assert_array_equal(state[key], value)


def test_what_cannot_be_saved_says_so() -> None:
    group, _ = started(CASES["CartPole"], CASES["CartPole"])
    assert group.get_state() is not None
    assert make_group([Mixed, Mixed]).get_state() is None


def test_a_state_that_does_not_fit_is_refused() -> None:
    two, _ = started(*[CASES["CartPole"]] * 2)
    three, _ = started(*[CASES["CartPole"]] * 3)
    state = two.get_state()
    assert state is not None
    with pytest.raises(ValueError, match="of 2 environments, this group has 3"):
        three.set_state(state)
    with pytest.raises(ValueError, match="not one of single environments"):
        three.set_state({"x": np.zeros(3)})
