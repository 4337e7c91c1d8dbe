"""A plugin's own network (`arl_models`) behind the interface of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.policy import PolicyNetwork
from arl_core.models.spaces import network_space


class CustomModel(Protocol):
    """What an author writes: a `torch.nn.Module` with this `forward`, and `state_size` where it has a memory."""

    def forward(self, obs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """{key: float32 [N, ...]}, preprocessed, and state [N, state_size] (None without memory) -> parameters of the action
        distribution [N, num_params], values [N], and the next state (None without memory)."""


class CustomNetwork(PolicyNetwork):
    """An author's module, with preprocessing, action distribution and unrolling around it.

    Raises UserError where the module does not do what `CustomModel` says.
    """

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], cfg: RunConfig, maker: Any) -> None:
        super().__init__(obs_space, action_space, cfg)
        self.module: nn.Module = maker(network_space(obs_space), self.dist.params_size, cfg)
        if not isinstance(self.module, nn.Module):
            raise UserError(f"model '{cfg.model}' is {type(self.module).__name__}, not a torch.nn.Module")
        self.state_size = int(getattr(self.module, "state_size", 0))
        self._name = cfg.model
        self._recurrence = cfg.recurrence or cfg.rollout
        self._check(obs_space)

    def _check(self, obs_space: spaces.Space[Any]) -> None:
        """Two rows of zeros through the module: shapes are wrong here, or never."""
        leaves = network_space(obs_space).items()
        obs = {key: torch.from_numpy(np.zeros((2, *(leaf.shape or ())), leaf.dtype)) for key, leaf in leaves}
        training = self.module.training
        self.module.eval()
        with torch.no_grad():
            state = torch.zeros(2, self.state_size) if self.state_size else None
            params, value, after = self.step(self.preprocess.forward(obs), state)
        self.module.train(training)
        expected = {"parameters": (2, self.dist.params_size), "values": (2,)}
        found = {"parameters": tuple(params.shape), "values": tuple(value.shape)}
        if self.state_size:
            expected["next state"] = (2, self.state_size)
            found["next state"] = () if after is None else tuple(after.shape)
        for name, shape in expected.items():
            if found[name] != shape:
                raise UserError(f"model '{self._name}' gives {name} of shape {found[name]} for two rows, not {shape}")

    def step(self, inputs: dict[str, Tensor], state: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `PolicyNetwork`."""
        if self.state_size and state is None:
            rows = next(iter(inputs.values()))
            state = rows.new_zeros(rows.shape[0], self.state_size)
        params, value, after = self.module(inputs, state)
        return params, value, after

    def evaluate(self, obs: Mapping[str, Tensor], state0: Tensor | None, valid: Tensor) -> tuple[Tensor, Tensor]:
        """See `PolicyNetwork`: one call for all rows, or one a time step where there is a memory."""
        num_rows, columns = next(iter(obs.values())).shape[:2]
        inputs = self.preprocess.forward({key: rows.flatten(0, 1) for key, rows in obs.items()})
        if not self.state_size:
            params, values, _ = self.step(inputs, None)
            return params.view(num_rows, columns, -1), values.view(num_rows, columns)
        rows = {key: x.view(num_rows, columns, *x.shape[1:]) for key, x in inputs.items()}
        state, outputs = state0, []
        for t in range(num_rows):
            if state is not None and t and t % self._recurrence == 0:
                state = state.detach()  # as the core's own cores do
            params, value, state = self.step({key: x[t] for key, x in rows.items()}, state)
            outputs.append((params, value))
            if t < len(valid) and state is not None:
                state = state * valid[t].unsqueeze(-1)
        return torch.stack([params for params, _ in outputs]), torch.stack([value for _, value in outputs])
