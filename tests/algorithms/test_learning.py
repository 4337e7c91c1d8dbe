"""Known answers, learnt in seconds by nothing but the model and the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gymnasium import spaces

from arl_core.algorithms.appo import Appo
from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.learning.optimizers import FlatAdam
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.encoders import default_encoder
from arl_core.models.flat import flatten_module

T, B, NUM_ARMS = 8, 16, 4


@pytest.mark.parametrize("options", [{}, {"with_vtrace": False}], ids=["vtrace", "gae"])
def test_contextual_bandit(options: dict[str, Any]) -> None:
    """Episodes of one step: the arm that the observation names pays 1. Every second row is a reset."""
    torch.manual_seed(0)
    cfg = RunConfig(hidden_size=32, learning_rate=5e-3, gamma=0.9, **options)
    space = spaces.Dict({"arm": spaces.Discrete(NUM_ARMS)})
    model = ActorCritic(space, spaces.Discrete(NUM_ARMS), cfg, default_encoder)
    flat = flatten_module(model)
    optimiser = FlatAdam(flat.params, flat.grads, lr=cfg.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    is_step = (torch.arange(T) % 2 == 0).unsqueeze(1).expand(T, B)
    for _ in range(150):
        obs = {"arm": torch.randint(NUM_ARMS, (T + 1, B))}
        with torch.no_grad():
            params, values = model.evaluate(obs, None, is_step)
            actions = model.dist.sample(params[:T])
            log_probs = model.dist.log_prob(params[:T], actions)
        rewards = (actions.squeeze(-1) == obs["arm"][:T]).float() * is_step
        never = torch.zeros(T, B, dtype=torch.bool)
        batch = TrainingBatch(obs, actions, log_probs, values[:T], params[:T], rewards, is_step.clone(), never, is_step.clone())
        total, _ = Appo().loss(model, batch, Appo().prepare(model, batch, cfg), cfg, with_metrics=False)
        flat.zero_grad()
        total.backward()
        optimiser.step()
    arms = torch.arange(NUM_ARMS)
    with torch.inference_mode():
        out = model.act({"arm": arms}, None, None, deterministic=True)
    assert torch.equal(out.actions.squeeze(-1), arms)
    assert model.dist.log_prob(out.params, out.actions).exp().min() > 0.9
    assert (out.value - 1).abs().max() < 0.2  # the exact value of an episode of one paid step
