"""An encoder, a loss and an algorithm as users write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from arl_core.algorithms.appo import Appo
from arl_core.algorithms.base import AuxiliaryLoss


class Net(nn.Module):
    """{key: [N, ...]} -> [N, 24]."""

    def __init__(self, obs_space: Any, cfg: Any) -> None:  # a maker's arguments
        super().__init__()
        self.output_size = 24
        self.layer = nn.Linear(obs_space["obs"].shape[0], self.output_size)

    def forward(self, obs: Any) -> Any:
        return torch.tanh(self.layer(obs["obs"]))


class Shrink(AuxiliaryLoss):
    """Keeps features small."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight
        model.keep_latents()

    def loss(self, model: Any, batch: Any) -> Any:
        size = model.latents.features.square().mean()
        return self.weight * size, {"feature_size": size.detach()}


class Mine(Appo):
    """APPO by another name."""
