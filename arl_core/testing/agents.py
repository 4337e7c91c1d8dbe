"""Environments of several agents under the rules for single ones: seen as one environment whose actions and observations are
Dicts of the agents'."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from arl_core.envs.make import build_any
from arl_core.envs.multi_agent import ParallelEnv, is_parallel, shared_spaces
from arl_core.interfaces import EnvContext, ResolvedEnv
from arl_core.spaces import joined, walk


def build_joint(resolved: ResolvedEnv, context: EnvContext) -> gymnasium.Env[Any, Any]:
    """The environment, wrapped as in a run; one of several agents as a `JointEnv`."""
    env = build_any(resolved, context)
    return JointEnv(env, resolved) if is_parallel(env) else env  # type: ignore[return-value]  # TypeGuard has no else


class JointEnv(gymnasium.Env[Any, Any]):
    """All agents as one: its reward is their sum, it ends when the last has ended; who does not take part observes zeros."""

    def __init__(self, env: ParallelEnv, resolved: ResolvedEnv) -> None:
        self._env = env
        self._limit = resolved.max_episode_steps
        self.agent_obs_space, self.agent_action_space = shared_spaces(env, resolved.id)
        self.render_mode = getattr(env, "render_mode", None)
        self.observation_space = spaces.Dict(dict.fromkeys(env.possible_agents, self.agent_obs_space))
        self.action_space = spaces.Dict({agent: env.action_space(agent) for agent in env.possible_agents})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002  # gymnasium's
        """Begin an episode of all."""
        super().reset(seed=seed)
        observations, _ = self._env.reset(seed=seed)
        self._steps = 0
        return self._observed(observations), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Let those act who take part."""
        acting = list(self._env.agents)
        observations, rewards, terminated, _, _ = self._env.step({agent: action[agent] for agent in acting})
        self._steps += 1
        over = not self._env.agents
        ended = over and any(terminated[agent] for agent in acting)
        cut = (over and not ended) or (self._limit is not None and self._steps >= self._limit)
        return self._observed(observations), float(sum(rewards[agent] for agent in acting)), ended, cut and not ended, {}

    def _observed(self, observations: Any) -> dict[str, Any]:
        return {agent: observations.get(agent, _nothing(self.agent_obs_space)) for agent in self._env.possible_agents}

    def close(self) -> None:
        """Close it."""
        self._env.close()


def _nothing(space: spaces.Space[Any]) -> Any:
    return joined(space, (np.zeros(leaf.shape or (), leaf.dtype) for _, leaf in walk(space)))
