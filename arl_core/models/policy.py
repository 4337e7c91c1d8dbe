"""The interface of a network to the engine: acting, and evaluating trajectories."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.distributions import ActionDist, make_action_dist
from arl_core.models.preprocess import CLIP_STDDEVS, Preprocessor, RunningNorm
from arl_core.models.spaces import ACTION_MASK, as_dict_space


class ActOutput(NamedTuple):
    """What one forward pass for acting gives, N rows."""

    actions: Tensor  # [N, A], the distribution's action_dtype
    value: Tensor  # [N]
    params: Tensor  # [N, P]
    state: Tensor | None  # [N, H], after this row; zero it where the row was a reset


class Latents(NamedTuple):
    """What lies between observations and heads in one pass over a batch, with gradients; without a recurrent core both are
    the same. Of two towers, the policy's."""

    features: Tensor  # [T+1, B, F], of the encoder
    memory: Tensor  # [T+1, B, H], of the recurrent core


class PolicyNetwork(nn.Module, ABC):
    """Policy and value of one agent. Acting and learning share every line of it.

    `dist` is the distribution of actions, `preprocess` makes float32 inputs of observations, `state_size` is H, the width of
    the recurrent state, 0 without one. Raises UserError for spaces that are not supported and for an "action_mask" that does
    not fit the actions.
    """

    state_size: int

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: RunConfig) -> None:
        super().__init__()
        self.obs_space, self.action_space = obs_space, action_space
        self.dist: ActionDist = make_action_dist(action_space, cfg)
        _check_mask(as_dict_space(obs_space), self.dist)
        self.preprocess = Preprocessor(obs_space, cfg)
        self.returns_norm: RunningNorm | None = RunningNorm(()) if cfg.normalize_returns else None

    def denormalize_values(self, values: Tensor) -> Tensor:
        """Values [...] as the network predicts them -> in units of the scaled rewards; with `normalize_returns` another."""
        norm = self.returns_norm
        if norm is None:
            return values
        return values.clamp(-CLIP_STDDEVS, CLIP_STDDEVS) / norm.scale + norm.shift

    @property
    def latents(self) -> Latents | None:
        """Those of the last `evaluate`, once `keep_latents` was called."""
        return None

    def keep_latents(self) -> tuple[int, int]:
        """From now on `evaluate` leaves its `latents`, for auxiliary losses that need them. Returns their widths F and H.
        Raises UserError for a network that does not show them."""
        raise UserError(f"{type(self).__name__} does not show what its encoder and core compute; leave model unset")

    def use_float32(self) -> None:
        """From now on compute in float32 whatever `precision` says: for who takes the policy elsewhere."""

    @abstractmethod
    def step(self, inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Preprocessed {key: [N, ...]} and state [N, H] -> parameters [N, P], values [N], next state."""

    @abstractmethod
    def evaluate(self, obs: Mapping[str, Tensor], state0: Tensor | None, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution parameters [T, B, P] and values [T, B] of obs {key: [T, B, ...]}, with gradients.

        state0 [B, H] (None: zeros) is the recurrent state before row 0; the state after row t is zeroed where valid[t]
        is False, so the result is that of `act` row by row. `valid` [T or T-1, B] bool.
        """

    def outputs_into(self, obs: Mapping[str, Tensor], state: Tensor | None, out: Tensor) -> Tensor | None:
        """Write distribution parameters and value into `out` [N, P+1] and return the next state; the engine's way to act.
        Under `torch.inference_mode()`."""
        params, value, state = self.step(self.preprocess.forward(obs), state)
        out[:, :-1] = params
        out[:, -1] = value
        return state

    def act(
        self,
        obs: Mapping[str, Tensor],
        state: Tensor | None,
        generator: torch.Generator | None,
        deterministic: bool = False,
    ) -> ActOutput:
        """Choose actions for obs {key: [N, ...]} from state [N, H] (None: zeros), under `torch.inference_mode()`."""
        params, value, state = self.step(self.preprocess.forward(obs), state)
        mask = obs.get(ACTION_MASK)
        actions = self.dist.mode(params, mask) if deterministic else self.dist.sample(params, mask, generator)
        return ActOutput(actions, value, params, state)


def _check_mask(obs_space: spaces.Dict, dist: ActionDist) -> None:
    mask = obs_space.spaces.get(ACTION_MASK)
    if mask is None:
        return
    width = math.prod(mask.shape or ())
    if dist.num_actions_for_mask == 0:
        raise UserError(
            f"observation '{ACTION_MASK}' masks actions, but only Discrete and MultiDiscrete have masks; rename the key"
        )
    if mask.shape is None or len(mask.shape) != 1 or width != dist.num_actions_for_mask:
        raise UserError(
            f"observation '{ACTION_MASK}' has shape {mask.shape}, but these actions need ({dist.num_actions_for_mask},)"
        )
