"""What all wrappers have in common: they pass on what is not theirs, can be saved, and say what they need."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from wrapper_envs import BOTH, IMAGE, MASK, SPEED, Camera, Shows

from arl_core.envs.state import load_env_state, save_env_state
from arl_core.interfaces import UserError, load_object
from arl_core.registry.builtin import arl_wrappers

SPECS = {spec.name: spec for spec in arl_wrappers()}
EVERY = {
    "pixel-format-chw": (IMAGE, {}),
    "grayscale": (IMAGE, {}),
    "resize": (IMAGE, {"height": 3, "width": 2}),
    "frame-stack": (BOTH, {"k": 2}),
    "frame-skip": (BOTH, {"skip": 2, "max_last_two": True}),
    "time-limit": (SPEED, {"max_episode_steps": 4}),
    "reward-scale": (SPEED, {"scale": 3.0}),
    "reward-clip": (SPEED, {}),
    "one-hot": (spaces.Discrete(9), {}),
    "flatten-dict": (BOTH, {}),
    "mask-from-info": (BOTH, {"key": "legal"}),
}


class Counter(Camera):
    """A Camera whose observation is its count, where the space is `Discrete`; its info has a mask."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "legal": [1, 1]}

    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, {**info, "legal": [1, self.count % 2]}

    def _look(self) -> Any:
        return self.count % 9 if isinstance(self.observation_space, spaces.Discrete) else super()._look()


def wrapped(name: str) -> gymnasium.Env[Any, Any]:
    space, options = EVERY[name]
    made: gymnasium.Env[Any, Any] = load_object(SPECS[name].maker)(Counter(space), **options)
    return made


@pytest.mark.parametrize("name", SPECS)
def test_reset_render_and_metadata_go_through(name: str) -> None:
    env = wrapped(name)
    observation, info = env.reset(seed=3, options={"level": 2})
    assert info == {"options": {"level": 2}, "legal": [1, 1]}
    assert env.unwrapped.np_random_seed == 3
    assert observation in env.observation_space
    assert env.step(0)[0] in env.observation_space
    assert env.render_mode == "rgb_array"
    assert env.metadata["render_fps"] == 7
    assert env.render().shape == (4, 5, 3)  # type: ignore[union-attr]
    assert env.action_space == Camera.action_space


@pytest.mark.parametrize("name", SPECS)
def test_a_saved_environment_goes_on_exactly(name: str) -> None:
    one, two = wrapped(name), wrapped(name)
    one.reset()
    for _ in range(3):
        one.step(0)
    state = save_env_state(one)
    assert state is not None
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    saved = {key: value.copy() for key, value in state.items()}
    one.step(0)
    for key, value in saved.items():
        np.testing.assert_array_equal(state[key], value)  # arrays of its own
    one = wrapped(name)
    one.reset()
    for _ in range(3):
        one.step(0)
    two.reset()
    load_env_state(two, saved)
    for _ in range(2):
        (seen, *rest), (expected, *others) = two.step(0), one.step(0)
        assert rest == others
        np.testing.assert_equal(seen, expected)


@pytest.mark.parametrize("name", SPECS)
def test_what_cannot_be_saved_says_so(name: str) -> None:
    space, options = EVERY[name]
    assert save_env_state(load_object(SPECS[name].maker)(Shows(space), **options)) is None


def test_a_state_of_another_wrapper_is_refused() -> None:
    stack, scale, limit = wrapped("frame-stack"), wrapped("reward-scale"), wrapped("time-limit")
    stack.reset(), scale.reset(), limit.reset()
    stacked, scaled = save_env_state(stack), save_env_state(scale)
    assert stacked is not None
    assert scaled is not None
    with pytest.raises(ValueError, match="RewardScale holds no state, the saved one has 'image'"):
        load_env_state(scale, stacked)
    with pytest.raises(ValueError, match="saved frames of observation 'image' are nothing, frame-stack needs"):
        load_env_state(stack, scaled)
    with pytest.raises(ValueError, match="no time limit's 'elapsed'"):
        load_env_state(limit, scaled)


@pytest.mark.parametrize("name", SPECS)
def test_options_are_the_makers_arguments(name: str) -> None:
    spec = SPECS[name]
    assert spec.options is not None
    fields = list(load_object(spec.options).model_fields)
    for reference, ours in ((spec.maker, ["env"]), (spec.vector_maker, ["group", "space"])):
        if reference is not None:
            names = list(inspect.signature(load_object(reference)).parameters)
            assert names[: len(ours)] == ours
            assert sorted(names[len(ours) :]) == sorted(fields)
    assert spec.summary


MISFITS = [
    ("pixel-format-chw", SPEED, {}, "needs an image [H, W, C]; the observation has 'obs' Box [1] float32"),
    ("pixel-format-chw", spaces.Dict({"s": SPEED}), {}, "needs an image [H, W, C]; the observation has 's' Box [1] float32"),
    ("pixel-format-chw", BOTH, {"keys": ["imag"]}, ": no observation 'imag' in keys; there is image, speed"),
    ("pixel-format-chw", BOTH, {"keys": ["speed"]}, "needs an image [H, W, C]; observation 'speed' is Box [1] float32"),
    (
        "grayscale",
        spaces.Box(0, 255, (8, 8, 4), np.uint8),
        {},
        "needs a colour image [H, W, 3] or [3, H, W], uint8 or float; the observation has 'obs' Box [8, 8, 4] uint8",
    ),
    ("resize", spaces.Discrete(3), {}, "needs an image [H, W], [H, W, C] or [C, H, W] of numbers; the observation has 'obs' D"),
    ("frame-stack", spaces.Discrete(3), {}, "needs an array (Box of one axis or more); the observation has 'obs' Discrete(3)"),
    ("frame-stack", SPEED, {"axis": 1}, ": no axis 1 in observation 'obs', which is [1]"),
    ("frame-skip", spaces.Discrete(3), {"max_last_two": True}, "needs an array (Box) for max_last_two"),
    ("one-hot", SPEED, {}, "needs a Discrete or MultiDiscrete observation; the observation has 'obs' Box [1] float32"),
    ("flatten-dict", SPEED, {}, "needs a Dict or Tuple observation, got Box"),
    ("mask-from-info", spaces.Dict({"action_mask": MASK}), {}, ": the observation has an 'action_mask' already"),
    ("flatten-dict", spaces.Dict({"action_mask": MASK}), {}, "needs observations beside 'action_mask'"),
]


@pytest.mark.parametrize(("name", "space", "options", "message"), MISFITS)
def test_a_wrapper_that_does_not_fit_says_what_it_needs(name: str, space: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_object(SPECS[name].maker)(Shows(space), **options)
    said = str(caught.value)
    assert said.startswith(f"wrapper '{name}'")
    assert message in said
    assert "\n" not in said
