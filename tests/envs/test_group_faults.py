"""What breaks the contract of an environment is named, with its place."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from group_support import Mixed, Scripted, make_group, make_views, many_steps, started, step
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from arl_core.envs.group import EnvironmentFault, make_contexts


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
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* step\(\) returned \(ndarray, float, bool, bool\), not \("):
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


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (np.zeros(3), "ndarray"),
        (np.zeros(2), "ndarray"),  # it could be unpacked
        ([0.0, 1.0], "list"),
        ((np.zeros(3), 0.0), r"\(ndarray, float\)"),
        ((np.zeros(3), {}, {}), r"\(ndarray, dict, dict\)"),
        (None, "NoneType"),
    ],
)
def test_a_reset_that_returns_the_observation_alone_is_named(returned: Any, told: str) -> None:
    class Alone(Scripted):
        def reset(self, **_: Any) -> Any:
            return returned

    group = make_group([Scripted, Alone])
    named = rf"environment 1 .* failed in reset, .*: TypeError: reset\(\) returned {told}, not \(observation, info\)"
    with pytest.raises(EnvironmentFault, match=named):
        group.reset_into(make_views(group).obs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, r"observation 'image' is missing: the observation has the keys \['parts'\]"),
        ({"parts": (1,)}, r"observation 'parts.1.bits' is missing: observation 'parts' is tuple \(1,\)"),
        ({"parts": 7}, "observation 'parts.0' is missing: observation 'parts' is int 7"),
        ({"parts": (1, {"bit": 0})}, r"observation 'parts.1.bits' is missing: observation 'parts.1' has the keys \['bit'\]"),
    ],
)
@pytest.mark.parametrize("where", ["reset", "step"])
def test_a_part_that_is_missing_is_named_with_what_is_there(where: str, change: dict[str, Any], message: str) -> None:
    class Lacking(Mixed):
        stepped = False

        def _observe(self) -> Any:
            observation = super()._observe()
            if self.stepped or where == "reset":
                observation |= change
            return {key: value for key, value in observation.items() if value is not None}

        def step(self, action: Any) -> Any:
            self.stepped = True
            return super().step(action)

    group = make_group([Lacking])
    views = make_views(group)
    if where == "step":
        group.reset_into(views.obs)
    with pytest.raises(EnvironmentFault, match=f"environment 0 .* failed in {where}, .*: ValueError: {message}"):
        many_steps(group, views) if where == "step" else group.reset_into(views.obs)


@pytest.mark.parametrize(
    ("space", "first", "message"),
    [
        (spaces.Discrete(3), 3, "observation 'obs' is 3, its space has 0 to 2"),
        (spaces.Discrete(3, start=1), 0, "observation 'obs' is 0, its space has 1 to 3"),
        (spaces.MultiDiscrete([2, 3]), [0, -1], r"observation 'obs' is \[ 0 -1\], its space has \[0 0\] to \[1 2\]"),
    ],
)
def test_a_class_that_the_space_has_not_is_named_at_reset(space: spaces.Space[Any], first: Any, message: str) -> None:
    class Classes(Scripted):
        def __init__(self) -> None:
            super().__init__(first=first)
            self.observation_space = space

    group = make_group([Classes])
    with pytest.raises(EnvironmentFault, match=f"failed in reset, .*: ValueError: {message}"):
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
