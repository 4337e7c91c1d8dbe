"""The actor-critic: preprocessing, encoder, recurrent core and heads. Acting and learning share every line of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.cores import make_core
from arl_core.models.initialization import initialize_, normalize_spectra
from arl_core.models.layers import orthogonal_
from arl_core.models.policy import Latents, PolicyNetwork
from arl_core.models.spaces import network_space

EncoderMaker = Callable[[spaces.Dict, RunConfig], nn.Module]
POLICY_GAIN = 0.01  # nearly uniform at first (Andrychowicz et al. 2021, "What matters in on-policy RL")
VALUE_GAIN = 1.0


class Tower(nn.Module):
    """Encoder, recurrent core if there is one, and a linear head with one gain for each block of its outputs.

    With `keeps_latents`, `latents` are those of the last `unroll`."""

    keeps_latents = False
    latents: Latents | None = None

    def __init__(self, encoder: nn.Module, cfg: RunConfig, blocks: list[tuple[int, float]]) -> None:
        super().__init__()
        features = getattr(encoder, "output_size", None)
        if not isinstance(features, int):
            raise UserError(
                f"encoder {type(encoder).__name__} has no integer output_size; "
                "set self.output_size to the number of its features"
            )
        self.num_features = features
        self.encoder = encoder
        self.is_bfloat16 = cfg.precision == "bfloat16"
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
        x = self._features(obs)
        if self.state_size:
            assert self.core is not None
            if state is None:
                state = x.new_zeros(x.shape[0], self.state_size)
            x, state = self.core.step(x, state)
        weight, bias = self._head
        return torch.addmm(bias, x, weight.t(), out=out), state

    def _features(self, obs: dict[str, Tensor]) -> Tensor:
        if not self.is_bfloat16:
            return self.encoder(obs)  # type: ignore[no-any-return]
        with torch.autocast(next(iter(obs.values())).device.type, torch.bfloat16):
            return self.encoder(obs).float()  # type: ignore[no-any-return]

    def unroll(self, obs: dict[str, Tensor], state0: Tensor | None, valid: Tensor, num_rows: int) -> Tensor:
        """{key: [T*B, ...]} -> outputs [T, B, O], with T = `num_rows`; see `Core.unroll`."""
        x = features = self._features(obs)
        if self.core is not None:
            x = x.view(num_rows, -1, x.shape[-1])
            if state0 is None:
                state0 = x.new_zeros(x.shape[1], self.state_size)
            x = self.core.unroll(x, state0, valid).flatten(0, 1)
        if self.keeps_latents:
            self.latents = Latents(*(y.view(num_rows, -1, y.shape[-1]) for y in (features, x)))
        return F.linear(x, *self._head).view(num_rows, valid.shape[1], -1)


class ActorCritic(PolicyNetwork):
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
        super().__init__(obs_space, action_space, cfg)
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
        params, value, state = self.step(inputs, state)
        out[:, :-1] = params
        out[:, -1] = value
        return state

    def step(self, inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `PolicyNetwork`."""
        if self._has_two_towers:
            return self._step_two(inputs, state)
        outputs, state = self.actor.step(inputs, state)
        params, value = self._split(outputs)
        return params, value, state

    def evaluate(self, obs: Mapping[str, Tensor], state0: Tensor | None, valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `PolicyNetwork`."""
        num_rows = next(iter(obs.values())).shape[0]
        inputs = self.preprocess.forward({key: rows.flatten(0, 1) for key, rows in obs.items()})
        if self.critic is None:
            return self._split(self.actor.unroll(inputs, state0, valid, num_rows))
        actor_state, critic_state = self._split_state(state0)
        head = self.actor.unroll(inputs, actor_state, valid, num_rows)
        values = self.critic.unroll(inputs, critic_state, valid, num_rows)
        return self._with_free(head), values.squeeze(-1)

    def keep_latents(self) -> tuple[int, int]:
        """See `PolicyNetwork`."""
        self.actor.keeps_latents = True
        return self.actor.num_features, self.actor.head.in_features

    @property
    def latents(self) -> Latents | None:
        """See `PolicyNetwork`."""
        return self.actor.latents

    def use_float32(self) -> None:
        """See `PolicyNetwork`."""
        for tower in filter(None, (self.actor, self.critic)):
            tower.is_bfloat16 = False

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
