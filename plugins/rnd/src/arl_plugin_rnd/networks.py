"""The random network, its predictor, and the running statistics around them."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.models.encoders import default_encoder
from arl_core.models.layers import linear
from arl_core.models.preprocess import Preprocessor, RunningNorm
from arl_core.models.spaces import network_shape, network_space


class NormalizedInputs(nn.Module):
    """Observations as both networks see them: every element less its running mean, divided by its running standard deviation,
    within +-5 (Burda et al. 2018, section 2.4). The statistics are not the policy's: pixels and classes have them too."""

    def __init__(self, obs_space: spaces.Space[Any], cfg: RunConfig) -> None:
        super().__init__()
        self.preprocess = Preprocessor(obs_space, cfg.model_copy(update={"normalize_input": False}))
        leaves = network_space(obs_space).items()
        self._keys = [key for key, _ in leaves]
        self.norms = nn.ModuleList(RunningNorm(network_shape(space)) for _, space in leaves)

    def forward(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """{key: [N, ...]} of the environment's dtypes -> {key: float32 [N, ...]}."""
        inputs = self.preprocess.forward(obs)
        return {key: norm(inputs[key]) for key, norm in zip(self._keys, self.norms, strict=True)}

    def update(self, obs: dict[str, Tensor], valid: Tensor) -> None:
        """Merge the rows {key: [N, ...]} where valid [N] into the statistics."""
        inputs = self.preprocess.forward(obs)
        for key, norm in zip(self._keys, self.norms, strict=True):
            assert isinstance(norm, RunningNorm)
            norm.update(inputs[key], valid)


class Features(nn.Sequential):
    """Convolutions for images and dense layers for the rest, `extra_layers` more, and a linear one: {key: [N, ...]} ->
    [N, feature_size]. Hidden layers have ReLUs: a tanh would be saturated by inputs of 5 deviations."""

    def __init__(self, obs_space: spaces.Space[Any], cfg: RunConfig, hidden: int, extra_layers: int, features: int) -> None:
        own = {"encoder_subtype": None, "nonlinearity": "relu", "hidden_size": hidden}
        encoder: Any = default_encoder(network_space(obs_space), cfg.model_copy(update=own))
        layers: list[nn.Module] = [encoder]
        size = encoder.output_size
        for _ in range(extra_layers):
            layers += [linear(size, hidden), nn.ReLU()]
            size = hidden
        super().__init__(*layers, linear(size, features, 1.0))


class ReturnScale(nn.Module):
    """A running estimate of the standard deviation of the discounted intrinsic return (Burda et al. 2018, section 2.4).

    As in the authors' code the sum runs forwards in time, x[t] = gamma x[t-1] + r[t], and over the ends of episodes. A batch
    does not say which trajectory went before: each begins with the mean of x at the ends of the last batch's trajectories.
    """

    start: Tensor

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.norm = RunningNorm(())
        self.register_buffer("start", torch.zeros(()))

    @torch.no_grad()
    def update(self, rewards: Tensor, valid: Tensor) -> None:
        """Merge rewards [T, B], where valid [T, B]; rows that are not leave the sum as it is."""
        returns = torch.empty_like(rewards)
        before = self.start.expand(rewards.shape[1])
        for t in range(len(rewards)):
            before = torch.where(valid[t], self.gamma * before + rewards[t], before)
            returns[t] = before
        self.norm.update(returns.flatten(), valid.flatten())
        self.start.copy_(before.mean())

    @property
    def stddev(self) -> Tensor:
        """The estimate, a scalar."""
        return (self.norm.m2 / self.norm.count.clamp(min=1.0)).sqrt().clamp(min=1e-8).float()
