"""Whole runs over every kind of action space: they learn, and what the policy does outside of a run is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from run_support import small
from tiny_envs import Arm, Lever

FIELDS: dict[str, Any] = {"envs": 16, "learning_rate": 1e-2, "exploration_loss_coeff": 0.0}


@pytest.mark.parametrize("fields", [{}, {"inference": "central", "use_rnn": True, "hidden_size": 16}])
def test_nested_actions_are_learnt(fields: dict[str, Any]) -> None:
    with small(Arm, **FIELDS, **fields) as model:
        for _ in range(12):
            status = model.train(3_000)
            assert status == 0
            if (status.return_mean or 0.0) >= 10.0:
                break
        assert status.return_mean >= 10.0  # 12 is perfect, chance is below 5
        assert model._trainer.engine.balance().exact
        assert model.evaluate(episodes=4)["return_mean"] >= 10.0
        action, _ = model.predict(np.array([1.0, 0.0], np.float32), deterministic=True)
        assert Arm.action_space.contains(action)
        assert action["gate"] == 3
        assert action["rest"][1].tolist() == [1, 0]
        several, _ = model.predict(np.array([[1.0, 0.0], [1.0, 0.25]], np.float32), deterministic=True)
        assert [one["gate"] for one in several] == [3, 3]


def test_squashed_actions_are_learnt_within_their_bounds() -> None:
    with small(Lever, **{**FIELDS, "learning_rate": 3e-3}, tanh_squash=True, adaptive_stddev=True) as model:
        for _ in range(12):
            status = model.train(3_000)
            assert status == 0
            if (status.return_mean or -99.0) >= 2.8:
                break
        assert status.return_mean >= 2.8  # 4 is perfect; the middle of the bounds is worth -8
        action, _ = model.predict(np.array([1.0, 0.0], np.float32), deterministic=True)
        assert abs(action[0] - 5.0) < 0.5
        # the most probable action is not the mean of those that are drawn: it may be a little worse
        assert model.evaluate(episodes=4, deterministic=True)["return_mean"] >= 2.0
