"""Runs on images: a vectorised environment through wrappers and convolutions, with every frame accounted for."""

from __future__ import annotations

from typing import Any

import pytest
from run_support import pids_of, small

from arl_core.envs.group import SingleEnvGroup, build_group, make_contexts

STACK = {"name": "frame-stack", "options": {"k": 2}}
PIXELS = {"env_options": {"observation": "pixels"}, "wrappers": [STACK, {"name": "reward-scale", "options": {"scale": 2}}]}


@pytest.mark.parametrize("inference", ["local", "central"])
def test_stacked_pixels_of_the_vectorised_maze(inference: str) -> None:
    fields: dict[str, Any] = {**PIXELS, "encoder": "convnet_simple", "inference": inference, "normalize_advantages": True}
    with small("maze:sample-3x3", workers=2, envs=4, **fields) as model:
        group = build_group(model.resolved_env, make_contexts(0, 0, 2))
        assert not isinstance(group, SingleEnvGroup)
        assert group.obs_specs["obs"].shape == (6, 64, 64)
        group.close()
        status = model.train(1_500)
        assert status == 0
        assert status.frames >= 1_500
        assert model._trainer.engine.balance().exact
        assert any(name.startswith("policy") for name in pids_of(model)) == (inference == "central")
        first = next(iter(model._trainer.models[0].actor.encoder.parameters()))
        assert first.shape == (32, 6, 8, 8)
        result = model.evaluate(episodes=2)
        assert -0.2 * 1000 <= result["return_mean"] <= 2.0  # twice the maze's own reward, 1 at most


@pytest.mark.slow
def test_a_maze_is_solved_from_stacked_pixels() -> None:
    fields: dict[str, Any] = {**PIXELS, "encoder": "convnet_simple", "nonlinearity": "relu", "learning_rate": 1e-3}
    with small("maze:sample-3x3", workers=1, envs=16, rollout=16, batch_size=256, **fields) as model:
        for _ in range(10):
            model.train(8_000)
            if model.evaluate(episodes=10, deterministic=False)["optimality"] > 0.9:
                return
    pytest.fail("not solved in 80,000 frames")
