"""A pool of EnvPool as the engine steps it: whole batches, one copy into shared memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.next_step import NextStepGroup
from arl_core.envs.spaces import ActionLayout
from arl_core.interfaces import EnvContext, EpisodeEnds, StepViews
from arl_plugin_envpool.options import EnvPoolOptions
from arl_plugin_envpool.pool import action_space, forget_names, make_pool, observation_space

_BOOKKEEPING = ("env_id", "players.env_id", "elapsed_step")  # of the pool, not of an episode


def make(*, options: EnvPoolOptions | None, contexts: Sequence[EnvContext], task_id: str) -> EnvPoolGroup:
    """The `vector_maker` of every id."""
    chosen = options or EnvPoolOptions()
    return EnvPoolGroup(task_id, contexts, num_threads=chosen.num_threads, arguments=chosen.arguments)


class EnvPoolGroup(NextStepGroup):
    """`EnvGroup` over one synchronous pool of EnvPool, one environment a context, seeded by its context alone.

    EnvPool resets as the engine wants it, in the step after an ending, and returns the true final observation before; that
    step is marked invalid here. `send` returns at once, `num_threads` C++ threads step, `recv_into` waits. Time limits
    truncate; an episode that terminates in the very step of its limit counts as truncated (EnvPool does not tell).
    `info` at an ending becomes metrics. `arguments` are EnvPool's own options of `task_id`. Raises UserError for wrong ones.
    """

    def __init__(
        self,
        task_id: str,
        contexts: Sequence[EnvContext],
        *,
        num_threads: int = 1,
        arguments: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        ours = {} if render_mode is None else {"render_mode": render_mode}
        self._make = partial(make_pool, task_id, [context.seed for context in contexts], num_threads, arguments, **ours)
        self.pool = self._make()
        self.observation_space = observation_space(self.pool)
        self.action_space = action_space(task_id, self.pool)
        super().__init__(len(contexts), self.observation_space, unreported=_BOOKKEEPING)
        self._layout = ActionLayout(self.action_space)
        self._is_new = True

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`. A pool takes its seeds where it is made, so a second reset makes another pool."""
        if not self._is_new:
            self.pool.close()
            self.pool = self._make()
        self._is_new = False
        self._ended[:] = False
        self._write(self.pool.reset()[0], obs)
        forget_names()

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the pool's threads begin to step."""
        if isinstance(self.action_space, spaces.Discrete):
            self.pool.send(actions[:, 0] + self.action_space.start)
        else:
            self.pool.send(np.asarray(self._layout.to_env(actions)))

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`; waits for the pool's threads."""
        return self._take(self.pool.recv(), views)

    def get_state(self) -> None:
        """None: EnvPool cannot save its environments."""

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Raises ValueError: EnvPool cannot save its environments."""
        raise ValueError(f"environments of EnvPool cannot be saved or restored; the state given has {', '.join(state)}")

    def close(self) -> None:
        """See `EnvGroup`."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None
