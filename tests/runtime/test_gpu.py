"""A run whose networks are on a GPU. Where there is none the same tests run on the processor, shorter: they must not have
rotted when somebody has one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from arl_core import APPO

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"

SMALL = {"rollout": 16, "batch_size": 128, "num_batches_per_iteration": 2, "ppo_epochs": 2}


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": True},
        {"inference": "central"},
        {"inference": "central", "use_rnn": True},
        {"inference": "local"},
        {"inference": "central", "precision": "bfloat16", "with_vtrace": False},
    ],
)
def test_cartpole_is_learned_on_a_gpu(fields: dict[str, Any]) -> None:
    with APPO(
        "gym:CartPole-v1", num_workers=2, num_envs_per_worker=8, device=DEVICE, policy_kwargs={**SMALL, **fields}
    ) as model:
        status = model.train(60_000 if HAS_GPU else 2_000)
        assert status == 0, status.error
        assert status.return_mean is not None
        assert status.return_mean > (60 if HAS_GPU else 5)
        assert all(torch.isfinite(value).all() for value in model.get_parameters()[0].values())


@pytest.mark.parametrize("env", ["stored_once", "zeros_once"])
def test_stacks_are_made_of_frames_on_a_gpu(env: str) -> None:
    """The encoder raises where they are none; looking, it cannot be captured as a graph."""
    fields = {**SMALL, "encoder": "py:stacked_envs:Looking", "inference": "central"}
    with APPO(f"py:stacked_envs:{env}", num_workers=2, num_envs_per_worker=8, device=DEVICE, policy_kwargs=fields) as model:
        status = model.train(5_000)
        assert status == 0, status.error


def test_a_learner_on_a_gpu_computes_what_one_on_a_cpu_does() -> None:
    """One optimiser step each, of one batch."""
    from arl_core.runtime.measuring.parts import Stage

    results = []
    for device in ("cpu", DEVICE):
        with APPO("gym:CartPole-v1", num_workers=1, num_envs_per_worker=8, device=device, policy_kwargs=SMALL) as model:
            stage = Stage(model._trainer.plan, 8)
            stage.training_seconds(0.0)
            results.append(stage._learner.flat.params.cpu().numpy())
            stage.close()
    np.testing.assert_allclose(results[1], results[0], rtol=1e-3, atol=1e-4)
