"""The actor-critic: preprocessing, encoder, recurrent core and heads. Acting and learning share every line of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.cores import make_core
from arl_core.models.distributions import ActionDist, make_action_dist
from arl_core.models.initialization import initialize_, normalize_spectra
from arl_core.models.layers import orthogonal_
from arl_core.models.preprocess import Preprocessor
from arl_core.models.spaces import ACTION_MASK, as_dict_space, network_space

EncoderMaker = Callable[[spaces.Dict, RunConfig], nn.Module]
POLICY_GAIN = 0.01  # nearly uniform at first (Andrychowicz et al. 2021, "What matters in on-policy RL")
VALUE_GAIN = 1.0


class ActOutput(NamedTuple):
    """What one forward pass for acting gives, N rows."""

    actions: Tensor  # [N, A], the distribution's action_dtype
    log_prob: Tensor  # [N]
    value: Tensor  # [N]
    params: Tensor  # [N, P]
    state: Tensor | None  # [N, H], after this row; zero it where the row was a reset


class Tower(nn.Module):
    """Encoder, recurrent core if there is one, and a linear head with one gain for each block of its outputs."""

    def __init__(self, encoder: nn.Module, cfg: RunConfig, blocks: list[tuple[int, float]]) -> None:
        super().__init__()
        features = getattr(encoder, "output_size", None)
        if not isinstance(features, int):
            raise UserError(
                f"encoder {type(encoder).__name__} has no integer output_size; "
                "set self.output_size to the number of its features"
            )
        self.encoder = encoder
        self.core = make_core(features, cfg)
        self.state_size = 0 if self.core is None else self.core.state_size
        self.head = nn.Linear(features if self.core is None else self.core.output_size, sum(size for size, _ in blocks))
        start = 0
        for size, gain in blocks:
            orthogonal_(self.head.weight[start : start + size], self.head.bias[start : start + size], gain)
            start += size
        self._head = (self.head.weight, self.head.bias)  # plain, as in Mlp

    def step(self, obs: dict[str, Tensor], state: Tensor | None, out: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """{key: [N, ...]} and state [N, S] -> outputs [N, O] (in `out`, where given) and the next state."""
        x = self.encoder(obs)
        if self.state_size:
            assert self.core is not None
            if state is None:
                state = x.new_zeros(x.shape[0], self.state_size)
            x, state = self.core.step(x, state)
        weight, bias = self._head
        return torch.addmm(bias, x, weight.t(), out=out), state

    def unroll(self, obs: dict[str, Tensor], state0: Tensor | None, valid: Tensor, num_rows: int) -> Tensor:
        """{key: [T*B, ...]} -> outputs [T, B, O], with T = `num_rows`; see `Core.unroll`."""
        x = self.encoder(obs)
        if self.core is not None:
            x = x.view(num_rows, -1, x.shape[-1])
            if state0 is None:
                state0 = x.new_zeros(x.shape[1], self.state_size)
            x = self.core.unroll(x, state0, valid).flatten(0, 1)
        return F.linear(x, *self._head).view(num_rows, valid.shape[1], -1)


class ActorCritic(nn.Module):
    """Policy and value of preprocessed observations.

    With `actor_critic_share_weights` one tower has both heads as one matrix product; otherwise there are two towers,
    whose recurrent states are concatenated. Initialisation depends on torch's global generator alone. Raises UserError
    for spaces that are not supported and for an "action_mask" that does not fit the actions.
    """

    def __init__(
        self,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        cfg: RunConfig,
        encoder_maker: EncoderMaker,
    ) -> None:
        super().__init__()
        self.dist: ActionDist = make_action_dist(action_space, cfg)
        _check_mask(as_dict_space(obs_space), self.dist)
        self.preprocess = Preprocessor(obs_space, cfg)
        inputs = network_space(obs_space)
        policy, value = (self.dist.head_size, POLICY_GAIN), (1, VALUE_GAIN)
        self.critic: Tower | None = None
        if cfg.actor_critic_share_weights:
            self.actor = Tower(encoder_maker(inputs, cfg), cfg, [policy, value])
        else:
            self.actor = Tower(encoder_maker(inputs, cfg), cfg, [policy])
            self.critic = Tower(encoder_maker(inputs, cfg), cfg, [value])
        initialize_(self, cfg)
        if cfg.use_spectral_norm:
            for tower in filter(None, (self.actor, self.critic)):
                normalize_spectra(tower.encoder)
        initial = self.dist.initial_params()
        with torch.no_grad():
            if cfg.policy_initialization != "orthogonal":  # the policy begins nearly uniform in any case
                self.actor.head.weight[: self.dist.head_size].mul_(POLICY_GAIN)
            self.actor.head.bias[: self.dist.head_size].copy_(initial[: self.dist.head_size])
        self.free_params: nn.Parameter | None = None
        if self.dist.free_size:
            self.free_params = nn.Parameter(initial[self.dist.head_size :].clone())
        self.state_size = self.actor.state_size + (self.critic.state_size if self.critic is not None else 0)
        self._has_two_towers = self.critic is not None

    def outputs_into(self, obs: Mapping[str, Tensor], state: Tensor | None, out: Tensor) -> Tensor | None:
        """Write distribution parameters and value into `out` [N, P+1] and return the next state; the engine's way to act,
        which copies nothing where one tower computes just these columns. Under `torch.inference_mode()`."""
        inputs = self.preprocess.forward(obs)
        if not self._has_two_towers and self.free_params is None:
            return self.actor.step(inputs, state, out)[1]
        params, value, state = self._step(inputs, state)
        out[:, :-1] = params
        out[:, -1] = value
        return state

    def _step(self, inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        if self._has_two_towers:
            return self._step_two(inputs, state)
        outputs, state = self.actor.step(inputs, state)
        params, value = self._split(outputs)
        return params, value, state

    def act(
        self,
        obs: Mapping[str, Tensor],
        state: Tensor | None,
        generator: torch.Generator | None,
        deterministic: bool = False,
    ) -> ActOutput:
        """Choose actions for obs {key: [N, ...]} from state [N, H] (None: zeros), under `torch.inference_mode()`."""
        params, value, state = self._step(self.preprocess.forward(obs), state)
        mask = obs.get(ACTION_MASK)
        if deterministic:
            actions = self.dist.mode(params, mask)
            return ActOutput(actions, self.dist.log_prob(params, actions, mask), value, params, state)
        actions, log_prob = self.dist.sample(params, mask, generator)
        return ActOutput(actions, log_prob, value, params, state)

    def evaluate(self, obs: Mapping[str, Tensor], state0: Tensor | None, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution parameters [T, B, P] and values [T, B] of obs {key: [T, B, ...]}, with gradients.

        state0 [B, H] (None: zeros) is the recurrent state before row 0; the state after row t is zeroed where valid[t]
        is False, so the result is that of `act` row by row. `valid` [T or T-1, B] bool.
        """
        num_rows = next(iter(obs.values())).shape[0]
        inputs = self.preprocess.forward({key: rows.flatten(0, 1) for key, rows in obs.items()})
        if self.critic is None:
            return self._split(self.actor.unroll(inputs, state0, valid, num_rows))
        actor_state, critic_state = self._split_state(state0)
        head = self.actor.unroll(inputs, actor_state, valid, num_rows)
        values = self.critic.unroll(inputs, critic_state, valid, num_rows)
        return self._with_free(head), values.squeeze(-1)

    def action_mask(self, obs: Mapping[str, Tensor]) -> Tensor | None:
        """The observation's action mask [..., M], or None."""
        return obs.get(ACTION_MASK)

    def update_normalizers(self, obs: Mapping[str, Tensor], valid: Tensor) -> None:
        """Merge obs {key: [N, ...]} where valid [N], or [T, B, ...] with valid [T, B], into the running statistics."""
        axes = valid.dim() - 1
        self.preprocess.update({key: rows.flatten(0, axes) for key, rows in obs.items()}, valid.flatten())

    def _step_two(self, inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        assert self.critic is not None
        actor_state, critic_state = self._split_state(state)
        head, actor_state = self.actor.step(inputs, actor_state)
        values, critic_state = self.critic.step(inputs, critic_state)
        if actor_state is not None and critic_state is not None:
            state = torch.cat((actor_state, critic_state), -1)
        return self._with_free(head), values.squeeze(-1), state

    def _split_state(self, state: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if state is None or not self.state_size:
            return None, None
        actor_state, critic_state = state.chunk(2, -1)
        return actor_state, critic_state

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        size = self.dist.head_size
        return self._with_free(outputs.narrow(-1, 0, size)), outputs.select(-1, size)

    def _with_free(self, head: Tensor) -> Tensor:
        free_size = self.dist.free_size
        if not free_size:
            return head
        assert self.free_params is not None
        return torch.cat((head, self.free_params.expand(*head.shape[:-1], free_size)), -1)


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
