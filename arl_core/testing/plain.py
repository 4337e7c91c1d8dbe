"""Environments for what a plugin without environments has: images, and a dictionary of all kinds. Gymnasium has vectors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

PLAIN = (
    "gym:CartPole-v1",
    "gym:Pendulum-v1",  # its actions are continuous
    f"py:{__name__}:Pictures",
    f"py:{__name__}:Mixture",
)


class Pictures(gymnasium.Env[Any, Any]):
    """Random images in random episodes; the same for the same seed, whatever the actions."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    action_space: spaces.Space[Any] = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The next episode, of 3 to 20 steps."""
        super().reset(seed=seed, options=options)
        self._left = int(self.np_random.integers(3, 21))
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:  # noqa: ARG002
        """The reward is a random one, too."""
        self._left -= 1
        return self._observation(), float(self.np_random.normal()), self._left == 0, False, {}

    def _observation(self) -> Any:
        return self._picture()

    def _picture(self) -> Any:
        return self.np_random.integers(0, 256, (40, 48, 3), np.uint8)


class Mixture(Pictures):
    """An image, a class and a vector."""

    observation_space = spaces.Dict(
        {"picture": Pictures.observation_space, "kind": spaces.Discrete(4), "place": spaces.Box(-1, 1, (2,), np.float32)}
    )

    def _observation(self) -> Any:
        place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"picture": self._picture(), "kind": self.np_random.integers(4), "place": place}
