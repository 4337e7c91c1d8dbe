"""What a learner asks of a device that is not the CPU, on torch's "meta" device: its tensors have shapes and no values, so that
whatever mixes devices, or reads a value back, is an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from arl_core.learning.learner import Learner


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ppo_epochs": 2, "num_batches_per_iteration": 2, "kl_loss_coeff": 0.1},
        {"with_vtrace": False, "ppo_epochs": 3, "num_batches_per_iteration": 4},
        {"with_vtrace": False, "use_rnn": True, "ppo_epochs": 2, "num_batches_per_iteration": 2},
        {"use_rnn": True, "rnn_type": "lstm", "recurrence": 2, "actor_critic_share_weights": False},
        {"normalize_returns": True, "nonlinearity": "elu"},
        {"optimizer": "rmsprop", "exploration_loss": "symmetric_kl", "nonlinearity": "relu"},
        {"use_spectral_norm": True, "max_grad_norm": 0.0},
    ],
)
def test_nothing_is_read_back_before_the_weights_are_published(make_school: Any, options: dict[str, Any]) -> None:
    school = make_school(**options)
    cfg = school.cfg
    with torch.device("meta"):
        learner = Learner(school.recipe, school.learner.board, "meta")
    batch = school.batch(0, cfg.batch_size * cfg.num_batches_per_iteration // cfg.rollout)
    steps: list[int] = []
    learner.beat = lambda: steps.append(learner.version)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor") as caught:
        learner.train(batch, int(batch.valid.sum()), with_metrics=False)
    assert "publish" in [entry.name for entry in caught.traceback]
    assert steps == list(range(1, cfg.ppo_epochs * cfg.num_batches_per_iteration + 1)), "every minibatch was a step"


def test_an_adaptive_rate_does_read_a_number_back(make_school: Any) -> None:
    """So the test above can tell."""
    school = make_school(lr_schedule="kl_adaptive_minibatch")
    with torch.device("meta"):
        learner = Learner(school.recipe, school.learner.board, "meta")
    batch = school.batch(0)
    with pytest.raises(RuntimeError, match="item"):
        learner.train(batch, int(batch.valid.sum()), with_metrics=False)
