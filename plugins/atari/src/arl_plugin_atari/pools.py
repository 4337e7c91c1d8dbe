"""The vectorised back ends: games stepped in batches by C++ threads, rewards as the games give them.

Both keep whole games: they clip nothing and know nothing of lives, so that `group` gives them one meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import UserError
from arl_plugin_atari.games import envpool_id
from arl_plugin_atari.task import AtariTask, game_seed, import_ale


class Played(NamedTuple):
    """What one step of E games gave. A step after an ending begins the next game, whatever the action."""

    obs: NDArray[np.uint8]  # [E, stack, size, size]
    rewards: NDArray[Any]  # [E], as the game gives them
    over: NDArray[np.bool_]  # [E], the game has ended
    truncated: NDArray[np.bool_]  # [E], by the limit of frames alone
    lives: NDArray[np.int32]  # [E]


class Pool(Protocol):
    """Games of one kind that step together."""

    def reset(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Begin every game from its seed; observations and lives."""

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step with `actions` [E], indices into the task's."""

    def recv(self) -> Played:
        """End it."""

    def close(self) -> None:
        """Release the games."""


class AleVectorPool:
    """`ale_py.AtariVectorEnv` (Farama's ALE, 0.12 and later)."""

    def __init__(self, task: AtariTask, seeds: Sequence[int]) -> None:
        import_ale()
        from ale_py.vector_env import AtariVectorEnv

        options = task.options
        self._seeds = np.array([game_seed(seed) for seed in seeds], np.int64)
        self._games = AtariVectorEnv(
            task.game,
            len(seeds),
            num_threads=options.num_threads,
            max_num_frames_per_episode=options.max_frames,
            repeat_action_probability=task.sticky,
            full_action_space=options.full_action_set,
            img_height=options.image_size,
            img_width=options.image_size,
            stack_num=options.frame_stack,
            frameskip=options.frame_skip,
            noop_max=options.noop_max,
            use_fire_reset=options.fire_reset,
            reward_clipping=False,
        )

    def reset(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """See `Pool`."""
        first: tuple[NDArray[np.uint8], dict[str, Any]] = self._games.reset(seed=self._seeds)
        obs, info = first
        return obs, info["lives"]

    def send(self, actions: NDArray[np.int64]) -> None:
        """See `Pool`."""
        self._games.send(actions)

    def recv(self) -> Played:
        """See `Pool`."""
        obs, rewards, over, truncated, info = self._games.recv()
        return Played(obs, rewards, over, truncated, info["lives"])

    def close(self) -> None:
        """See `Pool`; its threads end with the object."""
        self._games.close()
        del self._games


class EnvPoolPool:
    """EnvPool's Atari (Weng et al. 2022), through arl-plugin-envpool.

    Games begin with copies of the first frame where the others have black ones, and with noops before fire, not after.
    """

    def __init__(self, task: AtariTask, seeds: Sequence[int]) -> None:
        try:
            from arl_plugin_envpool.pool import make_pool
        except ImportError:
            raise UserError("atari.backend envpool needs a package: pip install 'arl-plugin-atari[envpool]'") from None
        options = task.options
        settings = {
            "stack_num": options.frame_stack,
            "frame_skip": options.frame_skip,
            "noop_max": options.noop_max,
            "use_fire_reset": options.fire_reset,
            "img_height": options.image_size,
            "img_width": options.image_size,
            "full_action_space": options.full_action_set,
            "repeat_action_probability": task.sticky,
            "max_episode_steps": -(-options.max_frames // options.frame_skip),
        }
        self._make: Callable[[], Any] = partial(make_pool, envpool_id(task.game), seeds, options.num_threads, settings)
        self._games = self._make()
        self._is_new = True

    def reset(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """See `Pool`; EnvPool takes seeds only where a pool is made."""
        if not self._is_new:
            self._games = self._make()
        self._is_new = False
        obs, info = self._games.reset()
        return obs, info["lives"]

    def send(self, actions: NDArray[np.int64]) -> None:
        """See `Pool`."""
        self._games.send(actions)

    def recv(self) -> Played:
        """See `Pool`. EnvPool calls an ending at the limit truncated even where the game is over too."""
        obs, rewards, terminated, truncated, info = self._games.recv()
        over = (terminated | truncated) & info["terminated"].astype(np.bool_)
        return Played(obs, rewards, over, truncated & ~over, info["lives"])

    def close(self) -> None:
        """See `Pool`."""
        self._games.close()
        del self._games
