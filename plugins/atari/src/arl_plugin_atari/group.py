"""Games as the engine steps them: whole batches, one copy into shared memory, lives and clipped rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import ArraySpec, EnvContext, EnvGroup, EpisodeEnds, StepViews
from arl_plugin_atari.options import AtariOptions
from arl_plugin_atari.pools import AleVectorPool, EnvPoolPool, Played, Pool
from arl_plugin_atari.task import AtariTask, resolve_task


def make(*, options: AtariOptions | None, contexts: Sequence[EnvContext], game: str, sticky: float) -> EnvGroup:
    """The `vector_maker` of every variant. Raises UserError where the back end's package is missing."""
    task = resolve_task(options, game, sticky)
    if task.options.backend == "gymnasium":
        from arl_core.envs.group import SingleEnvGroup
        from arl_plugin_atari.env import AtariEnv

        return SingleEnvGroup([AtariEnv(task, context) for context in contexts], contexts)
    seeds = [context.seed for context in contexts]
    pool: Pool = AleVectorPool(task, seeds) if task.options.backend == "ale-vector" else EnvPoolPool(task, seeds)
    return AtariGroup(pool, task, len(contexts), whole_games=contexts[0].evaluation)


class AtariGroup:
    """`EnvGroup` over a vectorised back end; means what `env.AtariEnv` means.

    With `life_loss` the step after the loss of a life plays the action that begins the next one. It is invalid like a reset,
    its reward counts for the score alone; but with `whole_games` it is a step like others.
    """

    def __init__(self, pool: Pool, task: AtariTask, num_envs: int, *, whole_games: bool = False) -> None:
        self.num_envs = num_envs
        self._whole_games = whole_games
        self.obs_specs: Mapping[str, ArraySpec] = obs_specs(task.observation_space)
        self._pool: Pool | None = pool
        self._task = task
        self._resets = np.zeros(num_envs, np.bool_)  # rows in which the next step begins a game
        self._new_life = np.zeros(num_envs, np.bool_)  # rows in which it begins a life
        self._lives = np.zeros(num_envs, np.int32)
        self._score = np.zeros(num_envs, np.float64)
        self._steps = np.zeros(num_envs, np.int64)  # of the game

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        assert self._pool is not None
        first, lives = self._pool.reset()
        np.copyto(obs["obs"], first)
        self._lives[:] = lives
        for array in (self._resets, self._new_life, self._score, self._steps):
            array[:] = 0

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the back end's threads begin to step."""
        assert self._pool is not None
        chosen = actions[:, 0]
        if self._new_life.any():
            chosen = np.where(self._new_life, self._task.new_life_action, chosen)
        self._pool.send(np.ascontiguousarray(chosen, np.int64))

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`; waits for the back end's threads."""
        assert self._pool is not None
        played = self._pool.recv()
        np.copyto(views.obs["obs"], played.obs)
        unplayed = self._resets if self._whole_games else self._resets | self._new_life
        np.logical_not(unplayed, out=views.valid)
        self._score += played.rewards
        self._steps += 1
        self._score[self._resets] = 0.0
        self._steps[self._resets] = 0
        np.copyto(views.rewards, np.sign(played.rewards) if self._task.options.reward_clip else played.rewards)
        views.rewards[~views.valid] = 0.0
        self._mark_endings(played, views)
        return self._ends(views)

    def _mark_endings(self, played: Played, views: StepViews) -> None:
        """Fill in what ended, and note what the next step does about it."""
        np.logical_or(played.over, played.truncated, out=self._resets)
        self._new_life[:] = False
        if self._task.options.life_loss:
            lost = (played.lives < self._lives) & (played.lives > 0)
            np.logical_and(lost & views.valid, ~self._resets, out=self._new_life)
        self._lives[:] = played.lives
        ends = played.over if self._whole_games else played.over | self._new_life
        np.logical_and(ends, views.valid, out=views.terminated)
        np.logical_and(played.truncated, views.valid, out=views.truncated)

    def _ends(self, views: StepViews) -> EpisodeEnds | None:
        rows = np.flatnonzero(views.terminated | views.truncated)
        if not rows.size:
            return None
        whole = self._resets[rows]  # the end of a game, not of a life
        frames = self._steps[rows] * self._task.options.frame_skip
        metrics = {"score": np.where(whole, self._score[rows], np.nan), "raw_frames": np.where(whole, frames, np.nan)}
        return EpisodeEnds(rows, {"lives": self._lives[rows].astype(float), **metrics})

    def get_state(self) -> None:
        """None: the back ends cannot save their games."""

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Raises ValueError: the back ends cannot save their games."""
        raise ValueError(f"games cannot be saved or restored; the state given has {', '.join(state)}")

    def close(self) -> None:
        """See `EnvGroup`."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
