"""Wrappers that any environment can use by name: the few that Gymnasium lacks, and names for those it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from arl_core.interfaces import UserError


class PixelFormatChw(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Images [H, W, C] as [C, H, W], the order that torch's convolutions take.

    A `Box` observation of three axes, or in a `Dict` each key in `keys` (default: every `Box` of three axes).
    Observations are views: nothing is copied here. Raises UserError where there is no image, or a key is none.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], keys: Sequence[str] | None = None) -> None:
        super().__init__(env)
        space = env.observation_space
        if isinstance(space, spaces.Dict):
            chosen = tuple(keys) if keys is not None else tuple(key for key, part in space.items() if _is_image(part))
            self._keys: tuple[str, ...] | None = chosen
            wrong = [key for key in chosen if key not in space.spaces or not _is_image(space[key])]
        else:
            self._keys = None
            wrong = list(keys or ())
        if wrong:
            raise UserError(f"wrapper 'pixel-format-chw': observation has no image '{wrong[0]}' [H, W, C], but {space}")
        if self._keys == () or (self._keys is None and not _is_image(space)):
            raise UserError(f"wrapper 'pixel-format-chw': no image [H, W, C] in {space}")
        self.observation_space = self._chw(space)

    def _chw(self, space: spaces.Space[Any]) -> spaces.Space[Any]:
        if isinstance(space, spaces.Dict):
            assert self._keys is not None
            return spaces.Dict({k: self._chw(part) if k in self._keys else part for k, part in space.items()})
        assert isinstance(space, spaces.Box)
        low, high = np.moveaxis(space.low, -1, 0), np.moveaxis(space.high, -1, 0)
        return spaces.Box(low, high, dtype=space.dtype.type)

    def observation(self, observation: Any) -> Any:
        """Image [H, W, C] -> [C, H, W], or so for each image key of a dictionary."""
        if self._keys is None:
            return observation.transpose(2, 0, 1)
        return {k: part.transpose(2, 0, 1) if k in self._keys else part for k, part in observation.items()}


def _is_image(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def grayscale(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Gymnasium's `GrayscaleObservation`: uint8 images [H, W, 3] -> [H, W, 1]."""
    return gymnasium.wrappers.GrayscaleObservation(env, keep_dim=True)


def frame_stack(env: gymnasium.Env[Any, Any], stack_size: int = 4) -> gymnasium.Env[Any, Any]:
    """The last `stack_size` observations, oldest first, joined on their first axis. For `Box` observations.

    [C, H, W] -> [stack_size * C, H, W], [N] -> [stack_size * N]. An episode begins with copies of its first one.
    """
    space = env.observation_space
    if not isinstance(space, spaces.Box) or not space.shape:
        raise UserError(f"wrapper 'frame-stack': observations must be arrays (Box), got {space}")
    stacked = gymnasium.wrappers.FrameStackObservation(env, stack_size)
    return gymnasium.wrappers.ReshapeObservation(stacked, (stack_size * space.shape[0], *space.shape[1:]))


def time_limit(env: gymnasium.Env[Any, Any], max_episode_steps: int) -> gymnasium.Env[Any, Any]:
    """Gymnasium's `TimeLimit`: an episode is truncated after `max_episode_steps` steps."""
    return gymnasium.wrappers.TimeLimit(env, max_episode_steps)


def reward_scale(env: gymnasium.Env[Any, Any], scale: float) -> gymnasium.Env[Any, Any]:
    """Rewards multiplied by `scale`: reported returns change too (`--reward_scale` scales for training only)."""
    return gymnasium.wrappers.TransformReward(env, lambda reward: scale * float(reward))
