"""Environments of several agents, of a few lines (PettingZoo's parallel API, without PettingZoo)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces


class Parallel:
    """What they share: equal spaces, a seeded stream, a state that can be saved."""

    possible_agents: ClassVar[list[str]] = ["a", "b"]
    obs_space: ClassVar[spaces.Box] = spaces.Box(-1.0, 1.0, (3,), np.float32)
    actions: ClassVar[spaces.Discrete] = spaces.Discrete(2)
    length = 4

    def __init__(self) -> None:
        self.agents: list[str] = []
        self.t = 0
        self.rng = np.random.default_rng(0)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return self.obs_space

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return self.actions

    def observe(self, agent: str) -> Any:
        return np.array([1.0, self.t / 10, self.possible_agents.index(agent) / 10], np.float32)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.t, self.agents = 0, self.first_agents()
        return {agent: self.observe(agent) for agent in self.agents}, {agent: {} for agent in self.agents}

    def first_agents(self) -> list[str]:
        return list(self.possible_agents)

    def rewards(self, actions: Any) -> dict[str, float]:
        return {agent: float(action == 1) for agent, action in actions.items()}

    def step(self, actions: Any) -> Any:
        assert set(actions) == set(self.agents)
        self.t += 1
        rewards, over = self.rewards(actions), self.t == self.length
        acted, self.agents = self.agents, [] if over else self.agents
        flags = dict.fromkeys(acted, over), dict.fromkeys(acted, False)
        return {a: self.observe(a) for a in acted}, rewards, *flags, {a: {"ones": rewards[a]} for a in acted}

    def get_state(self) -> dict[str, Any]:
        from arl_core.envs.state import rng_to_array

        present = np.array([agent in self.agents for agent in self.possible_agents])
        return {"t": np.array(self.t), "agents": present, "rng": rng_to_array(self.rng)}

    def set_state(self, state: Any) -> None:
        from arl_core.envs.state import rng_from_array

        self.t, self.rng = int(state["t"]), rng_from_array(state["rng"])
        self.agents = [agent for agent, present in zip(self.possible_agents, state["agents"], strict=True) if present]

    def close(self) -> None:
        pass


class Opposites(Parallel):
    """Agent a is paid for action 1, agent b for action 0: one policy for both can earn half at most where it does not tell them
    apart."""

    obs_space: ClassVar[spaces.Box] = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def observe(self, agent: str) -> Any:
        return np.ones(1, np.float32)

    def rewards(self, actions: Any) -> dict[str, float]:
        return {agent: float(action == (agent == "a")) for agent, action in actions.items()}


class OneIsPaid(Parallel):
    """Agent a is paid for action 1; agent b never."""

    def rewards(self, actions: Any) -> dict[str, float]:
        return {agent: float(agent == "a" and action == 1) for agent, action in actions.items()}


class Staggered(Parallel):
    """Three agents. c comes at step 2; b ends (by turns terminated and truncated) after 2 steps, a after 5, c after 6. An
    agent's k-th step is worth k, plus a tenth of its action."""

    possible_agents: ClassVar[list[str]] = ["a", "b", "c"]
    ends: ClassVar[dict[str, int]] = {"a": 5, "b": 2, "c": 6}
    begins: ClassVar[dict[str, int]] = {"a": 0, "b": 0, "c": 2}

    def __init__(self) -> None:
        super().__init__()
        self.episode = 0

    def first_agents(self) -> list[str]:
        self.episode += 1
        return ["a", "b"]

    def step(self, actions: Any) -> Any:
        assert set(actions) == set(self.agents)
        self.t += 1
        acted = self.agents
        over = {agent: self.t == self.ends[agent] for agent in acted}
        new = [agent for agent, t in self.begins.items() if t == self.t]
        rewards = {agent: float(self.t - self.begins[agent]) + 0.1 * float(actions[agent]) for agent in acted}
        cut = self.episode % 2 == 0
        self.agents = [agent for agent in acted if not over[agent]] + new
        return (
            {agent: self.observe(agent) for agent in [*acted, *new]},
            rewards,
            {agent: over[agent] and not cut for agent in acted},
            {agent: over[agent] and cut for agent in acted},
            {agent: {"steps": self.t - self.begins[agent]} for agent in acted},
        )

    def get_state(self) -> dict[str, Any]:
        return super().get_state() | {"episode": np.array(self.episode)}

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self.episode = int(state["episode"])


class RockPaperScissors(Parallel):
    """One move each; who loses pays 1. The winner of rock against scissors is paid double, by the loser. The equilibrium plays
    (1/4, 1/2, 1/4) rock, paper, scissors."""

    actions: ClassVar[spaces.Discrete] = spaces.Discrete(3)
    length = 1
    PAYS: ClassVar[Any] = np.array([[0, -1, 2], [1, 0, -1], [-2, 1, 0]], np.float64)  # row's gain

    def rewards(self, actions: Any) -> dict[str, float]:
        gain = float(self.PAYS[int(actions["a"]), int(actions["b"])])
        return {"a": gain, "b": -gain}


class Unequal(Parallel):
    """Agents of different spaces."""

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2 if agent == "a" else 3)


class Kills(Opposites):
    """Once, its worker is killed in the middle of a slot."""

    def __init__(self, once: str) -> None:
        super().__init__()
        self.once, self.life = once, 0

    def step(self, actions: Any) -> Any:
        import os
        import signal
        import sys
        from pathlib import Path

        self.life += 1
        if sys.argv[0] == "-c" and self.life == 45:
            with suppress(FileExistsError):  # of two workers that come here together one is killed
                Path(self.once).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step(actions)


class TakesTurns:
    """One of PettingZoo's other kind."""

    possible_agents = ("a",)

    def agent_iter(self) -> Any:
        return iter(())
