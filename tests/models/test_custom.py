"""A plugin's own network behind the engine's interface."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.models.custom import CustomNetwork

T, B = 6, 2


class Remembers(nn.Module):
    def __init__(self, obs_space: Any, num_params: int, cfg: RunConfig) -> None:
        super().__init__()
        self.state_size = 5
        self.cell = nn.GRUCell(3, 5)
        self.heads = nn.Linear(5, num_params + 1)

    def forward(self, obs: dict[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        after = self.cell(obs["obs"], state)
        out = self.heads(after)
        return out[:, :-1], out[:, -1], after


@pytest.mark.parametrize("recurrence", [None, 2])
def test_gradients_through_time_are_cut_after_recurrence_steps(recurrence: int | None) -> None:
    cfg = RunConfig(rollout=T, batch_size=T * B, recurrence=recurrence)
    model = CustomNetwork(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), cfg, Remembers)
    obs = torch.randn(T + 1, B, 3, requires_grad=True)
    _, values = model.evaluate({"obs": obs}, torch.zeros(B, 5), torch.ones(T, B, dtype=torch.bool))
    (reach,) = torch.autograd.grad(values[5].sum(), obs)
    cut = 4 if recurrence else 0  # segments of two begin at rows 0, 2 and 4
    assert (reach.abs().sum((1, 2)) > 0).tolist() == [cut <= t <= 5 for t in range(T + 1)]
