"""One attack as a `gymnasium.Env`: for gymnasium users and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import EnvContext, UserError
from arl_plugin_nasim.options import NASimOptions
from arl_plugin_nasim.render import described, drawn
from arl_plugin_nasim.task import NASimTask, Play, resolve_task

_RENDER_MODES = ("rgb_array", "ansi")
_ONE = np.zeros(1, np.intp)


def make(*, options: NASimOptions | None, context: EnvContext, **variant: Any) -> NASimEnv:
    """The `maker` of every variant; `variant` are the arguments of `resolve_task`."""
    return NASimEnv(resolve_task(options, **variant), context)


class NASimEnv(gymnasium.Env[Any, Any]):
    """Take over the sensitive hosts of a network.

    Reward: the value of what was taken over or discovered, less the action's cost. Terminates when the attacker has root
    access to every sensitive host, truncates after `task.step_limit` steps. At the end `info` holds `success` (0 or 1),
    `hosts_compromised`, `hosts_discovered` and, after a success, `steps_to_goal`.
    """

    metadata = {"render_modes": list(_RENDER_MODES), "render_fps": 2}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, task: NASimTask, context: EnvContext) -> None:
        if context.render_mode not in (None, *_RENDER_MODES):
            raise UserError(f"nasim: no render mode '{context.render_mode}'; the choice is 'rgb_array', 'ansi' or none")
        self.task = task
        self.render_mode = context.render_mode
        self.action_space = task.action_space()
        self.observation_space = task.observation_space()
        self.np_random = np.random.default_rng(np.random.SeedSequence(context.run_seed, spawn_key=(context.index,)))
        self._play = Play(task, 1)
        self._last = "start"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an attack. `seed` restarts the stream of random numbers, of which every step and every other reset takes
        one."""
        super().reset(seed=seed, options=options)
        if seed is None:
            self.np_random.random()
        obs = self._arrays()
        self._play.begin(_ONE, obs)
        self._last = "start"
        return self._given(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action. Raises ValueError for one that does not exist."""
        flat = self._play.flat(np.asarray(action).reshape(1, -1))
        obs = self._arrays()
        rewards = self._play.step(flat, np.array([self.np_random.random()]), obs)
        self._last = self.task.network.labels[flat[0]]
        terminated, truncated = bool(self._play.reached[0]), bool(self._play.late[0])
        info = {}
        if terminated or truncated:
            summary = {name: float(values[0]) for name, values in self._play.summary(_ONE).items()}
            info = {name: value for name, value in summary.items() if not np.isnan(value)}
        return self._given(obs), float(rewards[0]), terminated, truncated, info

    def render(self) -> Any:
        """rgb_array: the network with what the attacker holds of it, uint8 [height, width, 3]; ansi: the same as text."""
        if self.render_mode == "rgb_array":
            return drawn(self._play.simulation)
        return described(self._play.simulation, self._last) if self.render_mode == "ansi" else None

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that `set_state` needs to go on exactly."""
        return self._play.get_state() | {"stream": rng_to_array(self.np_random)}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it is of another network."""
        self._play.set_state(state)
        self.np_random = rng_from_array(state["stream"])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        space = self.observation_space
        parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {"obs": space}
        return {key: np.zeros((1, *(part.shape or ())), part.dtype) for key, part in parts.items()}

    def _given(self, obs: Mapping[str, NDArray[Any]]) -> Any:
        return {key: value[0] for key, value in obs.items()} if self.task.options.action_mask else obs["obs"][0]
