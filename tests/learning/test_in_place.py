"""What a network changes while it trains has to lie where it is published from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from arl_core.interfaces import UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.weights import WeightsBoard, weights_specs
from arl_core.learning.learner import Learner
from arl_core.models.flat import flatten_module


class Averaging(nn.Module):
    """An encoder with a running mean of its own: changed in place or, where `replaces`, put anew."""

    replaces = False

    def __init__(self, obs_space: Any, cfg: Any) -> None:
        super().__init__()
        self.output_size = 6
        self.scale = nn.Parameter(torch.ones(6))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("empty", torch.zeros(0))

    def forward(self, obs: Any) -> Any:
        if self.training and torch.is_grad_enabled():
            mean = torch.lerp(self.mean, obs["obs"].mean(0), 0.1)
            if self.replaces:
                self.mean = mean
            else:
                self.mean.copy_(mean)
        return (obs["obs"] - self.mean) * self.scale


class Replacing(Averaging):
    replaces = True


def test_a_network_that_replaces_what_is_published_is_refused(make_school: Any) -> None:
    """Who acts would go on with the statistics that the run began with."""
    school = make_school(normalize_input=False)
    batch = school.batch(1)
    for encoder, is_refused in ((Averaging, False), (Replacing, True)):
        parts = replace(school.recipe.parts, encoder=f"{__name__}:{encoder.__name__}")
        recipe = replace(school.recipe, parts=parts)
        arena = Arena.create(weights_specs(1, flatten_module(recipe.build()).nbytes))
        board = WeightsBoard(arena, 0)
        board.clear()
        learner = Learner(recipe, board, "cpu")
        if is_refused:
            with pytest.raises(UserError, match=r"in the place of its 'actor\.encoder\.mean'"):
                learner.train(batch, int(batch.valid.sum()), with_metrics=False)
        else:
            learner.train(batch, int(batch.valid.sum()), with_metrics=False)
            published = torch.empty(learner.flat.nbytes, dtype=torch.uint8)
            board.read_into(published.numpy())
            acting = recipe.build()
            flatten_module(acting).read_from(published)
            assert acting.get_buffer("actor.encoder.mean").any()
        arena.close()
