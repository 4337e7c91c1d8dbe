"""A variant with its options applied, and the play of it that `env` and `group` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.interfaces import JSON
from arl_plugin_nasim.observe import Masks, Observer
from arl_plugin_nasim.options import NASimOptions
from arl_plugin_nasim.scenario import load_scenario
from arl_plugin_nasim.simulation import Simulation
from arl_plugin_nasim.tables import Ints, Network, build_network

STEP_LIMIT = 1000  # of a file that has none: an unfinished policy may walk in circles for ever
_KEPT = ("compromised", "reachable", "discovered", "access")  # the simulation's state


@dataclass(frozen=True, eq=False)
class NASimTask:
    """A network, and how it is attacked: every question answered."""

    network: Network
    options: NASimOptions
    step_limit: int  # steps

    def action_space(self) -> spaces.Discrete | spaces.MultiDiscrete:
        """Discrete: NASim's flat actions; or MultiDiscrete: type, subnet, host, os, service, process."""
        if self.options.flat_actions:
            return spaces.Discrete(self.network.noop)
        return spaces.MultiDiscrete(list(self.network.parameters))

    def observation_space(self) -> spaces.Space[Any]:
        """float32 [(H + 1) * S], or [H + 1, S]; with masks a Dict of it, `obs`, and `action_mask` int8."""
        hosts, size = len(self.network.addresses), self.network.layout.size
        shape = ((hosts + 1) * size,) if self.options.flat_obs else (hosts + 1, size)
        seen = spaces.Box(*self.network.bounds, shape, np.float32)
        if not self.options.action_mask:
            return seen
        mask = spaces.Box(0, 1, (Masks(self.network, flat=self.options.flat_actions).size,), np.int8)
        return spaces.Dict({"obs": seen, "action_mask": mask})


def resolve_task(
    options: NASimOptions | None, *, benchmark: str | None = None, generator: Mapping[str, JSON] | None = None
) -> NASimTask:
    """A variant (keyword arguments) with the user's options on top. Raises UserError for what does not go together."""
    chosen = options or NASimOptions()
    network = build_network(load_scenario(chosen, benchmark=benchmark, generator=generator))
    return NASimTask(network, chosen, chosen.step_limit or network.step_limit or STEP_LIMIT)


class Play:
    """E attacks on one network. Each is told its random numbers, so that its course depends on its own stream alone."""

    def __init__(self, task: NASimTask, num_envs: int) -> None:
        self.task = task
        self.simulation = Simulation(task.network, num_envs)
        self._observer = Observer(self.simulation, fully_obs=task.options.fully_obs, remember=task.options.remember)
        self._masks = Masks(task.network, flat=task.options.flat_actions) if task.options.action_mask else None
        self._limit = task.step_limit
        self.steps = np.zeros(num_envs, np.int64)
        self.reached = np.zeros(num_envs, np.bool_)  # the goal, in the last step
        self.late = np.zeros(num_envs, np.bool_)  # its time is over, in the last step

    def flat(self, actions: NDArray[Any]) -> Ints:
        """Flat actions [E] of actions [E, 1] or [E, 6]. Raises ValueError for one that does not exist."""
        sizes = (self.task.network.noop,) if self.task.options.flat_actions else self.task.network.parameters
        numbers = actions.astype(np.intp)
        wrong = np.flatnonzero(((numbers < 0) | (numbers >= sizes)).any(1))
        if wrong.size:
            raise ValueError(f"nasim: an action has parameters below {sizes}, got {actions[wrong[0]].tolist()}")
        if self.task.options.flat_actions:
            return numbers[:, 0]
        flat: Ints = self.task.network.flat_of[np.ravel_multi_index(tuple(numbers.T), sizes)]
        return flat

    def begin(self, rows: Ints, obs: Mapping[str, NDArray[Any]]) -> None:
        """New episodes in the environments `rows`, and their first observations (all others' stay)."""
        self.simulation.reset(rows)
        self.steps[rows] = 0
        self._observer.write_first(rows, obs["obs"].reshape(self._observer.shape))
        self._write_masks(obs)

    def step(self, actions: Ints, draws: NDArray[np.float64], obs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Take flat actions [E] with a uniform number each [E]; write observations, return rewards [E]."""
        outcome = self.simulation.step(actions, draws)
        self._observer.write(outcome, obs["obs"].reshape(self._observer.shape))
        self._write_masks(obs)
        self.steps += 1
        self.reached = self.simulation.goals()
        self.late = (self.steps >= self._limit) & ~self.reached
        return outcome.rewards

    def summary(self, rows: Ints) -> dict[str, NDArray[np.float64]]:
        """Metrics of episodes that have ended. `steps_to_goal` is NaN where the goal was not reached."""
        now, reached = self.simulation, self.reached[rows]
        return {
            "success": reached.astype(np.float64),
            "hosts_compromised": now.compromised[rows].sum(1).astype(np.float64),
            "hosts_discovered": now.discovered[rows].sum(1).astype(np.float64),
            "steps_to_goal": np.where(reached, self.steps[rows], np.nan),
        }

    def _write_masks(self, obs: Mapping[str, NDArray[Any]]) -> None:
        if self._masks is not None:
            self._masks.write(self.simulation, obs["action_mask"])

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that changes, as arrays."""
        state = {name: getattr(self.simulation, name).copy() for name in _KEPT}
        return state | {"steps": self.steps.copy(), "seen": self._observer.seen.copy()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it is of another network or number of environments."""
        places = {name: getattr(self.simulation, name) for name in _KEPT}
        places |= {"steps": self.steps, "seen": self._observer.seen}
        for name, place in places.items():
            if name not in state or state[name].shape != place.shape:
                found = state[name].shape if name in state else "nothing"
                raise ValueError(f"the saved state is of another network: '{name}' has {found}, this one needs {place.shape}")
        for name, place in places.items():
            place[:] = state[name]
