"""Deep Sea (Osband et al. 2019, "Behaviour suite for reinforcement learning", appendix A): exploration and nothing else."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class DeepSea(gymnasium.Env[Any, Any]):
    """A diver sinks one row a step, `size` rows in all, and moves left or right. Right costs 0.01 / size; at the far right of
    the last row lies 1, so one of 2^size ways finds it, and every step towards it costs. Which action means right is drawn
    for each cell (by `layout`): a policy that repeats one action gets nowhere."""

    action_space = spaces.Discrete(2)

    def __init__(self, size: int = 20, layout: int = 0) -> None:
        self.size = size
        self.observation_space = spaces.Discrete(size * size)
        self._right = np.random.default_rng(layout).integers(2, size=(size, size)).tolist()

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._row = self._column = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        size, row, reward = self.size, self._row, 0.0
        if int(action) == self._right[row][self._column]:
            found = row == self._column == size - 1
            reward = float(found) - 0.01 / size
            self._column = min(self._column + 1, size - 1)
        else:
            self._column = max(self._column - 1, 0)
        self._row += 1
        if self._row == size:
            return row * size + self._column, reward, True, False, {"found": float(reward > 0.5)}
        return self._row * size + self._column, reward, False, False, {}
