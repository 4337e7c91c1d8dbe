"""Many attacks stepped together in NumPy: the implementation that the engine uses by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import ArraySpec, EnvContext, EpisodeEnds, StepViews
from arl_plugin_nasim.options import NASimOptions
from arl_plugin_nasim.task import NASimTask, Play, resolve_task

_BLOCK = 128  # random numbers that a stream draws at once


def make(*, options: NASimOptions | None, contexts: Sequence[EnvContext], **variant: Any) -> NASimGroup:
    """The `vector_maker` of every variant; `variant` are the arguments of `resolve_task`."""
    return NASimGroup(resolve_task(options, **variant), contexts)


class NASimGroup:
    """`EnvGroup` of attacks on one network, one environment a context, equal step for step to `env.NASimEnv`."""

    def __init__(self, task: NASimTask, contexts: Sequence[EnvContext]) -> None:
        self.num_envs = len(contexts)
        space = task.observation_space()
        parts = space.spaces if isinstance(space, spaces.Dict) else {"obs": space}
        self.obs_specs: Mapping[str, ArraySpec] = {
            key: ArraySpec(part.shape or (), np.dtype(part.dtype).name) for key, part in parts.items()
        }
        self._play = Play(task, self.num_envs)
        self._seeds = [context.seed for context in contexts]
        self._actions = np.zeros(self.num_envs, np.intp)
        self._ended = np.zeros(self.num_envs, np.bool_)  # environments that the next step resets
        self._restart([np.random.default_rng(seed) for seed in self._seeds])

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """Reset every environment with its context's seed; write first observations."""
        self._restart([np.random.default_rng(seed) for seed in self._seeds])
        self._ended[:] = False
        self._play.begin(np.arange(self.num_envs), obs)

    def send(self, actions: NDArray[Any]) -> None:
        """Take `actions` [E, 1] or [E, 6]. Raises ValueError for one that does not exist, unless its environment resets."""
        if self._ended.any():
            actions = np.where(self._ended[:, None], 0, actions)
        self._actions = self._play.flat(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """Step, fill `views`; metrics of the episodes that ended, None where none did."""
        views.rewards[:] = self._play.step(self._actions, self._draws(), views.obs)
        np.copyto(views.terminated, self._play.reached)
        np.copyto(views.truncated, self._play.late)
        views.valid.fill(True)
        again = np.flatnonzero(self._ended)
        if again.size:
            self._play.begin(again, views.obs)
            for values in (views.rewards, views.terminated, views.truncated, views.valid):
                values[again] = 0
        self._ended = views.terminated | views.truncated
        rows = np.flatnonzero(self._ended)
        return EpisodeEnds(rows, self._play.summary(rows)) if rows.size else None

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Everything that changes, as arrays."""
        streams = np.array(self._block_began, np.uint64).reshape(self.num_envs, -1)
        drawing = {"streams": streams, "drawn": np.array(self._drawn)}
        return self._play.get_state() | {"ended": self._ended.copy(), **drawing}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it is of another network or number of environments."""
        self._play.set_state(state)
        self._ended = state["ended"].copy()
        self._restart([rng_from_array(row) for row in state["streams"]])
        self._drawn = int(state["drawn"])

    def close(self) -> None:
        """Nothing to release."""

    def _restart(self, streams: list[np.random.Generator]) -> None:
        self._streams = streams
        self._draw_block()

    def _draw_block(self) -> None:
        self._block_began = [rng_to_array(stream) for stream in self._streams]
        self._block = np.stack([stream.random(_BLOCK) for stream in self._streams], axis=1)
        self._drawn = 0

    def _draws(self) -> NDArray[np.float64]:
        """The next number of every stream, [E]."""
        if self._drawn == _BLOCK:
            self._draw_block()
        self._drawn += 1
        numbers: NDArray[np.float64] = self._block[self._drawn - 1]
        return numbers
