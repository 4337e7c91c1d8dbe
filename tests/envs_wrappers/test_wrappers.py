"""Wrappers around single environments: what they change, what they leave, what they refuse."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from wrapper_envs import BOTH, IMAGE, MASK, SPEED, Camera, Shows

from arl_core.envs.wrappers import (
    FlattenDict,
    FrameSkip,
    FrameStack,
    Grayscale,
    OneHot,
    PixelFormatChw,
    Resize,
    RewardClip,
    RewardScale,
    TimeLimit,
)
from arl_core.envs.wrappers.images import area_weights


def observed(env: gymnasium.Env[Any, Any], steps: int = 0) -> Any:
    observation = env.reset()[0]
    for _ in range(steps):
        observation = env.step(0)[0]
    assert observation in env.observation_space
    return observation


# --------------------------------------------------------------------------- layout


def test_chw_of_a_box_is_a_view() -> None:
    env = PixelFormatChw(Camera(IMAGE))
    observation = observed(env, 1)
    assert env.observation_space == spaces.Box(0, 255, (3, 4, 5), np.uint8)
    assert observation[2, 0, 1] == 1
    assert observation.sum() == 1
    assert np.shares_memory(observation, env.unwrapped.image)  # type: ignore[attr-defined]


@pytest.mark.parametrize("keys", [None, ["image"]])
def test_chw_of_a_dict_leaves_other_keys(keys: list[str] | None) -> None:
    observation = observed(PixelFormatChw(Camera(BOTH), keys), 1)
    assert observation["image"].shape == (3, 4, 5)
    assert observation["speed"].tolist() == [1.0]


def test_chw_deep_in_a_space_keeps_bounds() -> None:
    low = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    space = spaces.Dict({"a": spaces.Tuple([spaces.Box(low, low + 1, dtype=np.float64), spaces.Discrete(2)])})
    value = {"a": (low + 0.5, 1)}
    env = PixelFormatChw(Shows(space, value))
    observation = observed(env)
    np.testing.assert_array_equal(observation["a"][0], (low + 0.5).transpose(2, 0, 1))
    assert observation["a"][1] == 1
    assert value["a"][0].shape == (2, 3, 4)


# --------------------------------------------------------------------------- colour and size


def test_grayscale_of_either_layout() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    expected = rgb @ np.array([0.299, 0.587, 0.114])
    last = observed(Grayscale(Shows(IMAGE, rgb)))
    first = observed(Grayscale(PixelFormatChw(Shows(IMAGE, rgb))))
    assert (last.shape, first.shape, last.dtype) == ((4, 5, 1), (1, 4, 5), np.uint8)
    np.testing.assert_array_equal(last[..., 0], first[0])
    assert np.abs(last[..., 0] - expected).max() <= 1.0
    white = observed(Grayscale(Shows(IMAGE, np.full((4, 5, 3), 255, np.uint8))))
    assert (white == 255).all()
    floats = spaces.Box(0, 1, (4, 5, 3), np.float32)
    bright = observed(Grayscale(Shows(floats, rgb.astype(np.float32) / 255)))
    assert bright.dtype == np.float32
    np.testing.assert_allclose(bright[..., 0] * 255, expected, atol=1e-3)


def naive_area(image: Any, height: int, width: int) -> Any:
    """Each new pixel as the mean over a grid fine enough to divide both sizes."""
    fine = np.repeat(np.repeat(image.astype(float), height, 0), width, 1)
    return fine.reshape(height, image.shape[0], width, image.shape[1]).mean((1, 3))


@pytest.mark.parametrize("size", [(2, 3), (4, 5), (7, 3), (1, 1), (9, 11)])
def test_resize_is_the_mean_over_areas_in_every_layout(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    expected = np.stack([naive_area(rgb[..., channel], *size) for channel in range(3)])
    last = observed(Resize(Shows(IMAGE, rgb), *size))
    first = observed(Resize(PixelFormatChw(Shows(IMAGE, rgb)), *size))
    plain = observed(Resize(Shows(spaces.Box(0, 255, (4, 5), np.uint8), rgb[..., 0]), *size))
    assert (last.dtype, last.shape, first.shape, plain.shape) == (np.uint8, (*size, 3), (3, *size), size)
    assert np.abs(first - expected).max() <= 0.5001
    np.testing.assert_array_equal(last.transpose(2, 0, 1), first)
    np.testing.assert_array_equal(plain, first[0])
    weights = area_weights(210, 84)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-6)
    assert (weights >= 0).all()


# --------------------------------------------------------------------------- frame-stack


def test_frame_stack_joins_channels_oldest_first() -> None:
    env = FrameStack(PixelFormatChw(Camera(IMAGE)), k=3)
    first = env.reset()[0]
    assert first.shape == (9, 4, 5)
    assert first in env.observation_space
    assert observed(env, 2)[2::3, 0, 1].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("axis", "shape"), [(None, (4, 5, 6)), (0, (8, 5, 3)), (1, (4, 10, 3)), (-1, (4, 5, 6))])
def test_the_axis_of_an_image_is_its_channels_unless_told(axis: int | None, shape: tuple[int, ...]) -> None:
    observation = observed(FrameStack(Camera(IMAGE), k=2, axis=axis), 3)
    assert observation.shape == shape
    older, newer = np.split(observation, 2, axis=2 if axis is None else axis)
    assert (older[0, 1, 2], newer[0, 1, 2]) == (2, 3)


def test_frame_stack_of_a_vector_and_of_keys() -> None:
    assert observed(FrameStack(Camera(SPEED), k=2), 1).tolist() == [0.0, 1.0]
    observation = observed(FrameStack(Camera(BOTH), k=3, keys=["speed"]), 4)
    assert observation["speed"].tolist() == [2.0, 3.0, 4.0]
    assert observation["image"].shape == (4, 5, 3)
    masked = FrameStack(Shows(spaces.Dict({"x": SPEED, "action_mask": MASK}), {"x": [1.0], "action_mask": [0, 1]}), k=2)
    assert masked.observation_space["action_mask"] == MASK  # type: ignore[index]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_stacks_that_are_kept_stay_as_they_were(k: int) -> None:
    """More steps than a strip has room for, with resets in between, against a list."""
    env = FrameStack(Camera(SPEED), k=k)
    kept, expected = [], []
    for length in (3, 8, 50, 1, 40):
        kept.append(env.reset()[0])
        frames = [0.0] * k
        expected.append(frames[-k:])
        for number in range(1, length + 1):
            kept.append(env.step(0)[0])
            frames.append(float(number))
            expected.append(frames[-k:])
    assert [stack.tolist() for stack in kept] == expected


def test_a_stack_costs_one_frame_a_step() -> None:
    env = FrameStack(Camera(IMAGE), k=4)
    stacks = [env.reset()[0], *(env.step(0)[0] for _ in range(20))]
    assert all(np.shares_memory(one, other) for one, other in pairwise(stacks))


# --------------------------------------------------------------------------- classes and dictionaries


def test_one_hot_of_starts_and_components() -> None:
    assert observed(OneHot(Shows(spaces.Discrete(4, start=-1), 1))).tolist() == [0, 0, 1, 0]
    space = spaces.MultiDiscrete(np.array([[2, 3]]), start=np.array([[5, 0]]))
    assert observed(OneHot(Shows(space, np.array([[6, 2]])))).tolist() == [0, 1, 0, 0, 1]
    nested = spaces.Dict({"a": spaces.Discrete(2), "b": SPEED})
    observation = observed(OneHot(Shows(nested, {"a": np.int64(1), "b": np.ones(1, np.float32)})))
    assert (observation["a"].tolist(), observation["b"].tolist()) == ([0, 1], [1])
    env = OneHot(Shows(spaces.Discrete(4), 4))
    with pytest.raises(ValueError, match=r"'one-hot': an observation is outside its space: \[4\]"):
        env.reset()


def test_flatten_dict() -> None:
    parts = spaces.Dict(
        {
            "b": spaces.Box(np.array([[-1.0, -2.0]]), np.array([[1.0, 2.0]]), dtype=np.float64),
            "a": spaces.Tuple([spaces.Discrete(5, start=2), spaces.MultiBinary(2)]),
        }
    )
    env = FlattenDict(Shows(parts, {"b": np.array([[0.5, -1.5]]), "a": (np.int64(6), np.array([1, 0], np.int8))}))
    observation = observed(env)
    assert observation.tolist() == [6, 1, 0, 0.5, -1.5]
    assert observation.dtype == np.float32
    assert env.observation_space.low.tolist() == [2, 0, 0, -1, -2]  # type: ignore[attr-defined]
    assert env.observation_space.high.tolist() == [6, 1, 1, 1, 2]  # type: ignore[attr-defined]
    pixels = spaces.Tuple([spaces.Box(0, 255, (1, 2), np.uint8)] * 2)
    flat = observed(FlattenDict(Shows(pixels, (np.array([[1, 2]], np.uint8), np.array([[3, 4]], np.uint8)))))
    assert (flat.dtype, flat.tolist()) == (np.uint8, [1, 2, 3, 4])


def test_flatten_dict_leaves_the_action_mask() -> None:
    space = spaces.Dict({"x": SPEED, "action_mask": MASK})
    value = {"x": np.ones(1, np.float32), "action_mask": np.array([0, 1], np.int8)}
    observation = observed(FlattenDict(Shows(space, value)))
    assert observation["obs"].tolist() == [1.0]
    assert observation["action_mask"].tolist() == [0, 1]


# --------------------------------------------------------------------------- rewards and time


def test_rewards() -> None:
    def rewards(wrap: Any) -> list[float]:
        env = wrap(Shows(SPEED, *[np.zeros(1, np.float32)] * 5, rewards=(-3.0, 0.25, 0.0, 7.0)))
        env.reset()
        return [env.step(0)[1] for _ in range(4)]

    assert rewards(lambda env: RewardScale(env, 0.5)) == [-1.5, 0.125, 0.0, 3.5]
    assert rewards(RewardClip) == [-1.0, 0.25, 0.0, 1.0]
    assert rewards(lambda env: RewardClip(env, low=0.1, high=2.0)) == [0.1, 0.25, 0.1, 2.0]
    assert rewards(lambda env: RewardClip(env, sign=True)) == [-1.0, 1.0, 0.0, 1.0]
    for wrap in (RewardClip, lambda env: RewardClip(env, sign=True)):
        env = wrap(Shows(SPEED, np.zeros(1, np.float32), rewards=(float("nan"),)))
        env.reset()
        assert np.isnan(env.step(0)[1])


def test_time_limit() -> None:
    env = RewardScale(TimeLimit(Camera(SPEED), 2), 0.5)
    for _ in range(2):
        env.reset()
        assert [env.step(0)[1:4] for _ in range(2)] == [(1.0, False, False), (1.0, False, True)]


def test_frame_skip_sums_rewards_and_stops_at_an_ending() -> None:
    env = FrameSkip(Camera(SPEED), skip=4)
    env.reset()
    steps = [env.step(0) for _ in range(3)]
    assert [(step[0].tolist(), *step[1:4], step[4]["count"]) for step in steps] == [
        ([4.0], 8.0, False, False, 4),
        ([8.0], 8.0, False, False, 8),
        ([9.0], 2.0, True, False, 9),
    ]


def test_frame_skip_shows_what_flickers() -> None:
    even, odd = (np.array([[255, 0, 3]], np.uint8), np.array([[0, 200, 5]], np.uint8))
    space = spaces.Box(0, 255, (1, 3), np.uint8)
    env = FrameSkip(Shows(space, even, odd, even, odd, even), skip=2, max_last_two=True)
    env.reset()
    assert env.step(0)[0].tolist() == [[255, 200, 5]]
    camera = FrameSkip(Camera(BOTH), skip=4, max_last_two=True)  # the same array each time
    observation = [camera.reset(), *(camera.step(0) for _ in range(3))][-1][0]
    assert (observation["image"][0, 1, 2], observation["speed"].tolist()) == (9, [9.0])
