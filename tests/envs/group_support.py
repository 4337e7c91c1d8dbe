"""Scripted environments, and groups of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from arl_core.envs.group import SingleEnvGroup, make_contexts
from arl_core.interfaces import EnvGroup, EpisodeEnds, StepViews

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


def cart_pole() -> gym.Env[Any, Any]:
    return gym.make("CartPole-v1", max_episode_steps=25)


def make_group(makers: Sequence[MakeEnv], run_seed: int = 0, first: int = 0) -> SingleEnvGroup:
    return SingleEnvGroup([make() for make in makers], make_contexts(run_seed, first, len(makers)))


def make_views(group: EnvGroup) -> StepViews:
    envs = group.num_envs
    obs = {key: np.full((envs, *spec.shape), 77, spec.dtype) for key, spec in group.obs_specs.items()}
    flags = [np.ones(envs, bool) for _ in range(3)]
    return StepViews(obs, np.full(envs, np.nan, np.float32), *flags)


def started(*makers: MakeEnv) -> tuple[SingleEnvGroup, StepViews]:
    group = make_group(makers)
    views = make_views(group)
    group.reset_into(views.obs)
    return group, views


def step(group: EnvGroup, views: StepViews, actions: Any = None) -> EpisodeEnds | None:
    group.send(np.zeros((group.num_envs, 1), np.int64) if actions is None else actions)
    return group.recv_into(views)


def many_steps(group: SingleEnvGroup, views: StepViews) -> None:
    for _ in range(40):
        step(group, views, np.zeros((group.num_envs, 2), np.int64))
