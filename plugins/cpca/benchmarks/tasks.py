"""Two tasks that cannot be done without a memory."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Recall(gymnasium.Env[Any, Any]):
    """A cue of -1 or 1 at the first of `length` steps, noise all along; the last action must name the cue, for 1 or -1. Without
    memory the mean return is 0."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def _observation(self) -> Any:
        cue = self.cue if self.t == 0 else 0.0
        return np.array([cue, self.t == self.length - 1, self.np_random.uniform(-1, 1)], np.float32)

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.cue = 0, float(self.np_random.integers(2) * 2 - 1)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        is_last = self.t == self.length - 1
        reward = 0.0 if not is_last else float((action * 2 - 1) == self.cue) * 2 - 1
        self.t += 1
        return self._observation(), reward, is_last, False, {}


class Ring(gymnasium.Env[Any, Any]):
    """A ring of 16 cells, black and white such that any four in a row tell where one is, and one alone does not. From a random
    cell: go left or right; claim to stand in cell 0, for 1 if so and otherwise -1. 40 steps at most, each costs 0.01."""

    COLORS = (0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1)  # a de Bruijn sequence
    LIMIT = 40

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def _observation(self) -> Any:
        color = self.COLORS[self.cell]
        return np.array([color, 1 - color], np.float32)

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.cell = 0, int(self.np_random.integers(len(self.COLORS)))
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        if action == 2:
            return self._observation(), 1.0 if self.cell == 0 else -1.0, True, False, {}
        self.cell = (self.cell + (1 if action else -1)) % len(self.COLORS)
        return self._observation(), -0.01, False, self.t == self.LIMIT, {}
