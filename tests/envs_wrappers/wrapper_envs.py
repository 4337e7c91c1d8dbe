"""Environments of a few lines for tests of wrappers."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Camera(gymnasium.Env[Any, Any]):
    """Counts steps in the pixel at row 0, column 1, channel 2. Its image is always the same array."""

    action_space = spaces.Discrete(2)
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 7}
    render_mode = "rgb_array"

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space
        self.count = 0
        self.image = np.zeros((4, 5, 3), np.uint8)

    def _look(self) -> Any:
        self.image[0, 1, 2] = self.count
        if isinstance(self.observation_space, spaces.Dict):
            return {"image": self.image, "speed": np.array([self.count], np.float32)}
        return self.image if len(self.observation_space.shape or ()) == 3 else np.array([self.count], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._look(), {"options": options}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._look(), 2, self.count == 9, False, {"count": self.count}

    def render(self) -> Any:
        return self.image

    def get_state(self) -> dict[str, Any]:
        return {"count": np.array(self.count)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.count = int(state["count"])


class Shows(gymnasium.Env[Any, Any]):
    """Observes what it is given, value after value."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space[Any], *values: Any, rewards: tuple[float, ...] = (1.0,)) -> None:
        self.observation_space, self.values, self.rewards = space, values, rewards
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.count = 0
        return self.values[0], {}

    def step(self, action: Any) -> Any:
        self.count += 1
        reward = self.rewards[(self.count - 1) % len(self.rewards)]
        return self.values[self.count % len(self.values)], reward, self.count == len(self.values) - 1, False, {}


IMAGE = spaces.Box(0, 255, (4, 5, 3), np.uint8)
SPEED = spaces.Box(0, 100, (1,))
BOTH = spaces.Dict({"image": IMAGE, "speed": SPEED})
MASK = spaces.MultiBinary(2)
