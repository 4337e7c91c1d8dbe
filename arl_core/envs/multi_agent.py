"""Environments of several agents (PettingZoo's parallel API), stepped together: every agent is a row of the group.

Row = environment * agents + agent. An agent takes part from the step that first observes it to the one that ends it; its other
rows are not valid: no frame, no reward, observation zero (of a discrete space its first class). The environment resets, as a
whole, in the step after its last agent has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.faults import EnvironmentFault, close_all, failed, metrics_of_ends, observed
from arl_core.envs.spaces import ActionLayout, obs_checker, obs_specs, obs_writer
from arl_core.envs.state import load_env_states, save_env_states
from arl_core.interfaces import ArraySpec, EnvContext, EpisodeEnds, StepViews, UserError
from arl_core.spaces import leaves_of


class ParallelEnv(Protocol):
    """PettingZoo's parallel API, as far as it is used (https://pettingzoo.farama.org/api/parallel). An environment need not
    derive from anything. It may have `get_state` and `set_state` (see `envs.state`)."""

    @property
    def possible_agents(self) -> Sequence[str]:
        """All that may ever take part, in a fixed order."""

    @property
    def agents(self) -> Sequence[str]:
        """Those that act in the next step; empty: the episode is over."""

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """Of one agent; the same object at every call."""

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Of one agent; the same object at every call."""

    def reset(self, seed: int | None = None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Begin an episode: observations and infos, by agent."""

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
        """Observations, rewards, terminations, truncations, infos of the agents that acted (and observations of new ones)."""

    def close(self) -> None:
        """Release what it holds."""


def is_parallel(env: Any) -> TypeGuard[ParallelEnv]:
    """Whether `env` is an environment of several agents, stepped all at once."""
    return not isinstance(env, gym.Env) and hasattr(env, "possible_agents") and not hasattr(env, "agent_iter")


def shared_spaces(env: ParallelEnv, name: str) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """(observation space, action space) of every agent. Raises UserError where they are not the same for all."""
    if not env.possible_agents:
        raise UserError(f"environment '{name}' has no possible_agents")
    first, *others = env.possible_agents
    for kind, space_of in (("observation", env.observation_space), ("action", env.action_space)):
        for agent in others:
            if space_of(agent) != space_of(first):
                raise UserError(
                    f"environment '{name}': agents must have equal spaces, but the {kind} space of '{first}' is "
                    f"{space_of(first)} and that of '{agent}' {space_of(agent)}; pad them to a common one"
                )
    return env.observation_space(first), env.action_space(first)


class MultiAgentGroup:
    """Steps a list of parallel environments one after the other (an `EnvGroup`). `max_episode_steps` truncates all agents;
    `beat` is called after each reset."""

    def __init__(
        self,
        envs: Sequence[ParallelEnv],
        contexts: Sequence[EnvContext],
        name: str = "",
        max_episode_steps: int | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.envs = list(envs)
        self.agents = tuple(envs[0].possible_agents)
        self.num_envs = len(envs) * len(self.agents)
        self._contexts = list(contexts)
        self._beat = beat
        space, action_space = shared_spaces(envs[0], name)
        for env in envs[1:]:
            if tuple(env.possible_agents) != self.agents or shared_spaces(env, name) != (space, action_space):
                raise UserError(f"environment '{name}': every copy must have the same agents and spaces")
        self.obs_specs: Mapping[str, ArraySpec] = obs_specs(space)
        self._number = {agent: number for number, agent in enumerate(self.agents)}
        self._layout = ActionLayout(action_space)
        self._absent = {key: np.asarray(getattr(leaf, "start", 0)) for key, (_, leaf) in leaves_of(space).items()}
        self._write = obs_writer(space)
        self._check = obs_checker(space)
        self._limit = max_episode_steps
        self._live = np.zeros((len(envs), len(self.agents)), bool)  # who acts in the next step; nobody: it resets
        self._elapsed = np.zeros(len(envs), np.int64)  # steps of each environment's episode
        self._actions: Sequence[Any] = ()

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        rows = dict(obs)
        self._clear(rows)
        for i, context in enumerate(self._contexts):
            self._reset(i, context.seed, rows)

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the environments step in `recv_into`."""
        self._actions = self._layout.to_env(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`. Raises EnvironmentFault."""
        rows = dict(views.obs)
        views.rewards[:] = 0.0
        for flags in (views.terminated, views.truncated, views.valid):
            flags[:] = False
        if not self._live.all():  # rows that nobody writes below
            self._clear(rows)
        infos: dict[int, Mapping[str, Any]] = {}
        for i in range(len(self.envs)):
            if self._live[i].any():
                self._step(i, views, rows, infos)
            else:
                self._reset(i, None, rows)
        ended = np.flatnonzero(views.terminated | views.truncated)
        return metrics_of_ends(ended, infos) if len(ended) else None

    def _clear(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Make all rows those of agents that do not take part: values that a network can encode."""
        for key, array in rows.items():
            array[:] = self._absent[key]

    def _reset(self, i: int, seed: int | None, rows: dict[str, NDArray[Any]]) -> None:
        try:
            observations = observed(self.envs[i].reset(seed=seed))
            if not self.envs[i].agents:
                raise ValueError("reset() left no agents")
            self._live[i] = False
            self._welcome(i, observations, rows)
        except UserError:  # it refuses what was asked for
            raise
        except (Exception, SystemExit) as error:
            raise self._fault(i, "reset", error) from error
        self._elapsed[i] = 0
        self._beat()

    def _step(self, i: int, views: StepViews, rows: dict[str, NDArray[Any]], infos: dict[int, Mapping[str, Any]]) -> None:
        first, acting = i * len(self.agents), np.flatnonzero(self._live[i]).tolist()
        try:
            result = self.envs[i].step({self.agents[k]: self._actions[first + k] for k in acting})
            if not isinstance(result, tuple) or len(result) != 5:
                raise TypeError("step() must return (observations, rewards, terminations, truncations, infos)")
            over = self._limit is not None and self._elapsed[i] + 1 >= self._limit
            present = set(self.envs[i].agents)
            for k in acting:
                self._take(result, k, first + k, views, rows, cut=over)
                infos[first + k] = result[4].get(self.agents[k]) or {}
                agent, has_ended = self.agents[k], bool(views.terminated[first + k] or views.truncated[first + k])
                self._live[i, k] = not has_ended
                if not has_ended and agent not in present:
                    raise ValueError(f"agent '{agent}' is no more among the agents, but has neither terminated nor truncated")
                if has_ended and not over and agent in present:
                    raise ValueError(f"agent '{agent}' has terminated or truncated and is still among the agents: leave it out")
            if not over:
                self._welcome(i, result[0], rows)
        except (Exception, SystemExit) as error:
            raise self._fault(i, "step", error) from error
        self._elapsed[i] += 1

    def _take(
        self, result: tuple[Any, ...], k: int, row: int, views: StepViews, rows: dict[str, NDArray[Any]], *, cut: bool
    ) -> None:
        """What one agent's step came to. `cut`: by the time limit."""
        agent = self.agents[k]
        for name, values in zip(("observation", "reward", "termination", "truncation"), result, strict=False):
            if agent not in values:
                raise KeyError(f"agent '{agent}' acted and has no {name}")
        observation, reward, terminated, truncated = (values[agent] for values in result[:4])
        if not isinstance(reward, Real):
            raise TypeError(f"the reward of agent '{agent}' is {reward!r}, not a number")
        self._write_row(agent, observation, rows, row)
        views.rewards[row] = reward
        views.terminated[row], views.truncated[row] = bool(terminated), bool(truncated) or (cut and not terminated)
        views.valid[row] = True

    def _welcome(self, i: int, observations: Mapping[str, Any], rows: dict[str, NDArray[Any]]) -> None:
        """Agents that act from the next step on."""
        for agent in self.envs[i].agents:
            k = self._number.get(agent)
            if k is None:
                raise ValueError(f"agent '{agent}' is not among possible_agents {list(self.agents)}")
            row = i * len(self.agents) + k
            if not self._live[i, k]:
                if agent not in observations:
                    raise KeyError(f"agent '{agent}' begins and has no observation")
                self._write_row(agent, observations[agent], rows, row)
                self._live[i, k] = True

    def _write_row(self, agent: str, observation: Any, rows: dict[str, NDArray[Any]], row: int) -> None:
        try:
            self._check(observation)
        except ValueError as error:
            raise ValueError(f"agent '{agent}': {error}") from None
        if self._write is not None:
            self._write(observation, rows, row)
        else:
            rows["obs"][row] = observation

    def _fault(self, i: int, where: str, error: BaseException) -> EnvironmentFault:
        return EnvironmentFault(failed(self._contexts[i], f"{where}, {self._elapsed[i]} steps into its episode", error))

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """See `EnvGroup`; None unless every environment can be saved."""
        saved = save_env_states(self.envs)
        return None if saved is None else {"live": self._live.copy(), "elapsed": self._elapsed.copy(), **saved}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        if "live" not in state or state["live"].shape != self._live.shape:
            raise ValueError(f"the state is not one of {len(self.envs)} environments of {len(self.agents)} agents")
        self._live[:], self._elapsed[:] = state["live"], state["elapsed"]
        load_env_states(self.envs, state)

    def close(self) -> None:
        """See `faults.close_all`. Idempotent."""
        envs, self.envs = self.envs, []
        close_all(envs, self._contexts)
