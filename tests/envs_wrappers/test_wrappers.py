from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from arl_core.envs.wrappers import PixelFormatChw, frame_stack, grayscale, reward_scale, time_limit
from arl_core.interfaces import UserError


class Camera(gymnasium.Env[Any, Any]):
    """Counts steps in the pixel at row 0, column 1, channel 2."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space
        self.count = 0

    def _look(self) -> Any:
        image = np.zeros((4, 5, 3), np.uint8)
        image[0, 1, 2] = self.count
        if isinstance(self.observation_space, spaces.Dict):
            return {"image": image, "speed": np.array([self.count], np.float32)}
        return image if len(self.observation_space.shape or ()) == 3 else np.array([self.count], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._look(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._look(), 2, False, False, {}


IMAGE = spaces.Box(0, 255, (4, 5, 3), np.uint8)
SPEED = spaces.Box(0, 100, (1,))


def test_chw_of_a_box() -> None:
    env = PixelFormatChw(Camera(IMAGE))
    env.reset()
    observation = env.step(0)[0]
    assert env.observation_space == spaces.Box(0, 255, (3, 4, 5), np.uint8)
    assert observation in env.observation_space
    assert observation[2, 0, 1] == 1
    assert observation.sum() == 1


@pytest.mark.parametrize("keys", [None, ["image"]])
def test_chw_of_a_dict_leaves_other_keys(keys: list[str] | None) -> None:
    env = PixelFormatChw(Camera(spaces.Dict({"image": IMAGE, "speed": SPEED})), keys)
    env.reset()
    observation = env.step(0)[0]
    assert observation in env.observation_space
    assert observation["image"].shape == (3, 4, 5)
    assert observation["speed"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("space", "keys"),
    [(SPEED, None), (spaces.Dict({"speed": SPEED}), None), (spaces.Dict({"image": IMAGE}), ["imag"])],
)
def test_chw_without_an_image_is_an_error(space: spaces.Space[Any], keys: list[str] | None) -> None:
    with pytest.raises(UserError, match=r"wrapper 'pixel-format-chw': .*no image"):
        PixelFormatChw(Camera(space), keys)


def test_frame_stack_joins_channels_oldest_first() -> None:
    env = frame_stack(PixelFormatChw(Camera(IMAGE)), stack_size=3)
    first = env.reset()[0]
    env.step(0)
    observation = env.step(0)[0]
    assert env.observation_space.shape == (9, 4, 5)
    assert observation in env.observation_space
    assert observation[2::3, 0, 1].tolist() == [0, 1, 2]
    assert first.shape == (9, 4, 5)


def test_frame_stack_of_a_vector_and_of_a_dict() -> None:
    env = frame_stack(Camera(SPEED), stack_size=2)
    env.reset()
    assert env.step(0)[0].tolist() == [0.0, 1.0]
    with pytest.raises(UserError, match=r"observations must be arrays \(Box\)"):
        frame_stack(Camera(spaces.Dict({"speed": SPEED})))


def test_grayscale_keeps_an_axis() -> None:
    env = grayscale(Camera(IMAGE))
    assert env.observation_space.shape == (4, 5, 1)
    assert env.reset()[0].shape == (4, 5, 1)


def test_time_limit_and_reward_scale() -> None:
    env = reward_scale(time_limit(Camera(SPEED), 2), 0.5)
    env.reset()
    assert [env.step(0)[1:4] for _ in range(2)] == [(1.0, False, False), (1.0, False, True)]
