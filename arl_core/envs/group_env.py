"""A single environment of a back end that only steps many at once: a `gymnasium.Env` around a group of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.spaces import ActionLayout
from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import EnvContext, EnvGroup, FrameStacking, StepViews
from arl_core.spaces import joined, key_of, walk


class GroupEnv(gymnasium.Env[Any, Any]):
    """What a `maker` returns where there is nothing but an `EnvGroup`: `make_group(context)` makes one of one environment,
    which begins as `context.seed` says.

    After an ending, reset() goes on in the same group. With a seed, or in the middle of an episode, it makes a new group.
    The metrics that the group reports at an ending are that step's `info`.
    """

    def __init__(
        self,
        make_group: Callable[[EnvContext], EnvGroup],
        context: EnvContext,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.frame_stacks: Mapping[str, FrameStacking] = {}  # whoever makes it may know more
        self.group: EnvGroup | None = None  # the present one
        self.np_random = np.random.default_rng(context.seed)
        self._make_group = make_group
        self._context = context
        self._layout = ActionLayout(action_space)
        self._nothing = np.zeros((1, self._layout.size), self._layout.dtype)
        self._ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The next episode; the first one of `seed` where that is given."""
        super().reset(seed=seed, options=options)
        if seed is None and self._ended:
            self._step(self._nothing)  # the group's step that resets
        else:
            if seed is None:
                seed = self._context.seed if self.group is None else int(self.np_random.integers(1 << 31))
            self._begin(seed)
        self._ended = False
        return self._observation(), {}

    def _begin(self, seed: int) -> None:
        self.close()
        self.group = self._make_group(replace(self._context, seed=seed))
        obs = {key: np.zeros((1, *spec.shape), spec.dtype) for key, spec in self.group.obs_specs.items()}
        flags = (np.zeros(1, np.bool_) for _ in range(3))
        self._views = StepViews(obs, np.zeros(1, np.float32), *flags)
        self.group.reset_into(obs)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of the group."""
        columns = self._layout.to_columns(action)
        info = self._step(columns)
        if not self._views.valid[0]:  # what began in reset() ended there: this step has reset once more, and played nothing
            info = self._step(columns)
        views = self._views
        terminated, truncated = bool(views.terminated[0]), bool(views.truncated[0])
        self._ended = terminated or truncated
        return self._observation(), float(views.rewards[0]), terminated, truncated, info

    def _step(self, columns: Any) -> dict[str, Any]:
        if self.group is None:
            raise gymnasium.error.ResetNeeded("reset() comes before the first step()")
        self.group.send(columns)
        ends = self.group.recv_into(self._views)
        return {} if ends is None else {name: float(values[0]) for name, values in ends.metrics.items()}

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """The group's, and what begins further ones; None where the group cannot be saved (see `envs.state`)."""
        state = None if self.group is None else self.group.get_state()
        if state is None:
            return None
        own = {"rng": rng_to_array(self.np_random), "ended": np.array(self._ended)}
        return own | {f"group.{key}": value for key, value in state.items()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where the group says that it does not fit."""
        if self.group is None:
            self._begin(self._context.seed)
        assert self.group is not None
        self.group.set_state({key.removeprefix("group."): value for key, value in state.items() if key.startswith("group.")})
        self.np_random = rng_from_array(state["rng"])
        self._ended = bool(state["ended"])

    def close(self) -> None:
        """Release the group."""
        if self.group is not None:
            self.group.close()
            self.group = None

    def _observation(self) -> Any:
        """The present one, in memory of its own."""
        rows = ((self._views.obs[key_of(path)][0], leaf) for path, leaf in walk(self.observation_space))
        values = (np.array(row, leaf.dtype) if leaf.shape else row.astype(leaf.dtype) for row, leaf in rows)
        return joined(self.observation_space, values)
