"""Wrappers of time. Neither has a vector form: a group resets its environments itself, and steps all of them alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.wrappers.base import Wrapper, chosen_leaves
from arl_core.spaces import leaves_of, replace_leaves, value_at


class TimeLimit(Wrapper, gymnasium.wrappers.TimeLimit[Any, Any]):
    """Gymnasium's `TimeLimit`, which can be saved: an episode is truncated after `max_episode_steps` steps."""

    def _own_state(self) -> dict[str, NDArray[Any]]:
        return {"elapsed": np.array(self._elapsed_steps or 0)}

    def _set_own_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        if "elapsed" not in state:
            raise ValueError("the saved state has no time limit's 'elapsed'")
        self._elapsed_steps = int(state["elapsed"])  # type: ignore[assignment]  # gymnasium declares None alone


class FrameSkip(Wrapper):
    """Each action `skip` times: rewards are summed, observation and info are the last. A frame of the run is one such step.

    With `max_last_two` the observation is the greater of the last two, element by element in every `Box`: for screens that
    draw some things on even and some on odd frames only.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], skip: int = 4, max_last_two: bool = False) -> None:
        super().__init__(env)
        self._skip = skip
        self._last: dict[str, NDArray[Any]] = {}  # of each Box, the frame before the newest
        self._paths = {}
        if max_last_two:
            boxes = chosen_leaves("frame-skip", env.observation_space, None, _is_box, "an array (Box) for max_last_two")
            self._paths = {key: leaves_of(env.observation_space)[key][0] for key in boxes}
            greater = {key: (box, lambda value, key=key: np.maximum(self._last[key], value)) for key, box in boxes.items()}
            _, self._merge = replace_leaves(env.observation_space, greater)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        total, steps = float(reward), 1
        while steps < self._skip and not (terminated or truncated):
            self._keep(observation)
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            steps += 1
        if self._paths and steps > 1:
            observation = self._merge(observation)
        return observation, total, terminated, truncated, info

    def _keep(self, observation: Any) -> None:
        for key, path in self._paths.items():
            self._last[key] = np.array(value_at(path, observation))  # a copy: the environment may use its array again


def _is_box(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box)
