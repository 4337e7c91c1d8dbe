"""Wrappers of rewards. What they change is what the run reports, too; `reward_scale` and `reward_clip` of the configuration
change what is trained on alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces

from arl_core.envs.make import frame_stacks_of
from arl_core.envs.wrappers.base import WrappedGroup, Wrapper
from arl_core.interfaces import EnvGroup, EpisodeEnds, FrameStacking, StepViews


class _RewardWrapper(Wrapper, gymnasium.RewardWrapper[Any, Any]):
    @property
    def frame_stacks(self) -> Mapping[str, FrameStacking]:
        """Observations pass through as they are."""
        return frame_stacks_of(self.env)


class RewardScale(_RewardWrapper):
    """Rewards multiplied by `scale`."""

    def __init__(self, env: gymnasium.Env[Any, Any], scale: float) -> None:
        super().__init__(env)
        self.scale = scale

    def reward(self, reward: SupportsFloat) -> float:
        """See `gymnasium.RewardWrapper`."""
        return self.scale * float(reward)


class RewardScaleGroup(WrappedGroup):
    """`RewardScale` for a group."""

    def __init__(self, group: EnvGroup, space: spaces.Space[Any], scale: float) -> None:  # noqa: ARG002
        super().__init__(group)
        self.scale = scale

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`."""
        ends = self.group.recv_into(views)
        np.multiply(views.rewards, self.scale, out=views.rewards, dtype=np.float64, casting="same_kind")
        return ends


class RewardClip(_RewardWrapper):
    """Rewards clipped to [`low`, `high`]; with `sign` -1, 0 or 1 instead. NaN stays NaN, for the engine to find."""

    def __init__(self, env: gymnasium.Env[Any, Any], low: float = -1.0, high: float = 1.0, sign: bool = False) -> None:
        super().__init__(env)
        self.low, self.high, self.sign = low, high, sign

    def reward(self, reward: SupportsFloat) -> float:
        """See `gymnasium.RewardWrapper`."""
        value = float(reward)
        return float(np.sign(value) if self.sign else np.clip(value, self.low, self.high))


class RewardClipGroup(WrappedGroup):
    """`RewardClip` for a group."""

    def __init__(
        self,
        group: EnvGroup,
        space: spaces.Space[Any],  # noqa: ARG002
        low: float = -1.0,
        high: float = 1.0,
        sign: bool = False,
    ) -> None:
        super().__init__(group)
        self.low, self.high, self.sign = low, high, sign

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`."""
        ends = self.group.recv_into(views)
        if self.sign:
            np.sign(views.rewards, out=views.rewards)
        else:
            np.clip(views.rewards, self.low, self.high, out=views.rewards)
            np.multiply(views.rewards, views.valid, out=views.rewards)  # a reset has no reward, whatever the bounds
        return ends
