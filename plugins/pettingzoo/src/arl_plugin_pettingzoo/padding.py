"""Agents of different spaces in common ones: observation vectors filled up with zeros, actions with a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.multi_agent import ParallelEnv
from arl_core.interfaces import UserError

MASK = "action_mask"


def padded(env: ParallelEnv) -> ParallelEnv:
    """`env` itself where all agents have equal spaces. Raises UserError where they cannot be made equal."""
    observations = [env.observation_space(agent) for agent in env.possible_agents]
    actions = [env.action_space(agent) for agent in env.possible_agents]
    if all(space == observations[0] for space in observations) and all(space == actions[0] for space in actions):
        return env
    return PaddedEnv(env)


class PaddedEnv:
    """A parallel environment whose agents share spaces.

    Observations, vectors of different lengths, are filled up with zeros at the end. Where actions (Discrete) differ in number,
    every observation is {"observation", "action_mask"}, and the mask allows those that the agent has.
    """

    def __init__(self, env: ParallelEnv) -> None:
        self._env = env
        self.possible_agents = list(env.possible_agents)
        self.render_mode = getattr(env, "render_mode", None)
        self._counts = {agent: _count(env.action_space(agent), agent) for agent in self.possible_agents}
        boxes = [_vector(env.observation_space(agent), agent) for agent in self.possible_agents]
        self._length = max(box.shape[0] for box in boxes)
        low, high = (np.full(self._length, 0.0, np.float32) for _ in range(2))
        for box in boxes:
            size = box.shape[0]
            low[:size], high[:size] = np.minimum(low[:size], box.low), np.maximum(high[:size], box.high)
        self._masked = len(set(self._counts.values())) > 1
        self._num_actions = max(self._counts.values())
        vector: spaces.Space[Any] = spaces.Box(low, high, dtype=np.float32)
        self._actions = spaces.Discrete(self._num_actions)
        self._space = vector
        if self._masked:
            self._space = spaces.Dict({"observation": vector, MASK: spaces.Box(0, 1, (self._num_actions,), np.int8)})

    @property
    def agents(self) -> list[str]:
        """Those that act in the next step."""
        return list(self._env.agents)

    def observation_space(self, agent: str) -> spaces.Space[Any]:  # noqa: ARG002  # PettingZoo's API
        """The same for every agent."""
        return self._space

    def action_space(self, agent: str) -> spaces.Space[Any]:  # noqa: ARG002  # PettingZoo's API
        """The same for every agent."""
        return self._actions

    def reset(self, seed: int | None = None) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Begin an episode."""
        observations, infos = self._env.reset(seed=seed)
        return self._padded(observations), infos

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any, Any, Any]:
        """An action that an agent has not (its mask says so) is its last one."""
        own = {agent: min(int(action), self._counts[agent] - 1) for agent, action in actions.items()}
        observations, *others = self._env.step(own)
        rewards, terminated, truncated, infos = others
        return self._padded(observations), rewards, terminated, truncated, infos

    def render(self) -> Any:
        """What the environment draws."""
        return self._env.render()  # type: ignore[attr-defined]  # not a part of what is trained on

    def close(self) -> None:
        """Release what the environment holds."""
        self._env.close()

    def _padded(self, observations: Mapping[str, Any]) -> dict[str, Any]:
        return {agent: self._one(agent, value) for agent, value in observations.items()}

    def _one(self, agent: str, value: NDArray[Any]) -> Any:
        vector = np.zeros(self._length, np.float32)
        vector[: len(value)] = value
        if not self._masked:
            return vector
        return {"observation": vector, MASK: (np.arange(self._num_actions) < self._counts[agent]).astype(np.int8)}


def _count(space: spaces.Space[Any], agent: str) -> int:
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise UserError(f"agents have different spaces, and the actions of '{agent}' ({space}) are not Discrete: no padding")
    return int(space.n)


def _vector(space: spaces.Space[Any], agent: str) -> spaces.Box:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise UserError(f"agents have different spaces, and the observation of '{agent}' ({space}) is no vector: no padding")
    return space
