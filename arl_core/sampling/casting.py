"""Who plays what: the policy, or frozen snapshot of one, that acts in each row of a group.

It is drawn at the beginning of an environment's episode and stays until its end. NumPy alone: rollout workers that never import
torch draw it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import EnvContext

_STREAM = 2  # keeps these streams apart from those of environments and actions


@dataclass(frozen=True)
class CastingSpec:
    """How roles are given. Players are numbered: the policies, then the snapshots of policy 0, of policy 1, ..."""

    num_policies: int
    agent_policies: tuple[int, ...]  # of each agent, where `random` is False
    random: bool = False  # each row's policy is drawn for every episode
    snapshots_per_policy: int = 0
    self_play_fraction: float = 0.0  # of episodes in which one agent learns, and snapshots play the others

    @property
    def num_agents(self) -> int:
        """Rows of one environment."""
        return len(self.agent_policies)


class Casting:
    """The present players of a group's rows, `players` [E] int8. Each environment draws from a stream of its own, which depends
    on the run's seed and the environment's number in the run."""

    def __init__(self, spec: CastingSpec, contexts: Sequence[EnvContext], life: int = 0) -> None:
        self._spec = spec
        keys = [(context.index, life, _STREAM) for context in contexts]
        seeds = [np.random.SeedSequence(contexts[0].run_seed, spawn_key=key) for key in keys]
        self._streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        self.players = np.zeros(len(contexts) * spec.num_agents, np.int8)
        self._by_env: NDArray[np.int8] = self.players.reshape(len(contexts), spec.num_agents)
        self.begin(range(len(contexts)))

    def begin(self, environments: Sequence[int]) -> None:
        """New episodes of these environments."""
        for environment in environments:
            self._by_env[environment] = self._draw(self._streams[environment])

    def advance(self, valid: NDArray[np.bool_]) -> None:
        """After a step [E]: an environment without one valid row has reset."""
        if not valid.all():
            begun = ~valid.reshape(self._by_env.shape).any(1)
            self.begin(np.flatnonzero(begun).tolist())

    def _draw(self, stream: np.random.Generator) -> NDArray[np.int64]:
        spec = self._spec
        policies = np.array(spec.agent_policies)
        if spec.random:
            policies = stream.integers(spec.num_policies, size=spec.num_agents)
        if not spec.snapshots_per_policy or stream.random() >= spec.self_play_fraction:
            return policies
        snapshots = stream.integers(spec.snapshots_per_policy, size=spec.num_agents)
        frozen: NDArray[np.int64] = spec.num_policies + policies * spec.snapshots_per_policy + snapshots
        learns = stream.integers(spec.num_agents)
        frozen[learns] = policies[learns]
        return frozen

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that `set_state` needs."""
        return {"players": self.players.copy(), "streams": np.stack([rng_to_array(stream) for stream in self._streams])}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state."""
        self.players[:] = state["players"]
        self._streams = [rng_from_array(saved) for saved in state["streams"]]
