"""`async_rl` False: everyone waits until the batch is trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from run_support import eventually, pids_of, small
from tiny_envs import Bandit

from arl_core import UserError


def lags(model: Any) -> tuple[float, float]:
    (policy,) = model._trainer.engine.statistics.policies
    return policy.lag_mean, policy.lag_max


@pytest.mark.parametrize(
    ("workers", "envs", "fields"),
    [
        (2, 4, {"batch_size": 64}),
        (2, 4, {"batch_size": 64, "inference": "central", "worker_num_splits": 2}),
        (1, 4, {"batch_size": 64, "num_batches_per_iteration": 2, "use_rnn": True}),  # four slots of each group
        (2, 4, {"batch_size": 64, "serial": True}),
    ],
)
def test_the_lag_is_exactly_zero_and_no_frame_is_lost(workers: int, envs: int, fields: dict[str, Any]) -> None:
    with small(workers=workers, envs=envs, async_rl=False, **fields) as model:
        for _ in range(3):
            assert model.train(1_500) == 0
            assert model._trainer.engine.balance().exact
            assert model._trainer.engine.counts()["dropped_lag"] == 0
        assert lags(model) == (0.0, 0.0)


def test_the_same_run_with_async_rl_lags() -> None:
    with small(workers=2, envs=4, batch_size=64) as model:
        model.train(6_000)
        assert lags(model)[1] > 0


def test_new_weights_from_outside_are_followed_by_whole_batches_again() -> None:
    with small(workers=2, envs=4, batch_size=64, async_rl=False) as model:
        for _ in range(4):  # wherever its slots are at that moment
            model.train(100)
            model.set_parameters({0: {key: value * 0.9 for key, value in model.get_parameters()[0].items()}})
            assert model.train(500) == 0
            assert model._trainer.engine.balance().exact
        assert lags(model) == (0.0, 0.0)


def test_a_worker_that_dies_holds_nobody_up() -> None:
    with small(Bandit, workers=2, envs=4, batch_size=64, async_rl=False) as model:
        for _ in range(2):
            model.train(500)
            before = pids_of(model)["rollout-1"]
            psutil.Process(before).kill()
            assert model.train(1_000) == 0
            assert eventually(lambda old=before: pids_of(model).get("rollout-1", old) != old)
        assert lags(model)[1] == 0


def test_two_serial_runs_are_bit_equal() -> None:
    with small(serial=True, async_rl=False, envs=8) as one, small(serial=True, async_rl=False, envs=8) as two:
        for model in (one, two):
            model.train(1_000)
        for key, value in one.get_parameters()[0].items():
            assert torch.equal(value, two.get_parameters()[0][key])


def test_a_resumed_serial_run_goes_on_bit_for_bit_and_takes_new_weights(tmp_path: Path) -> None:
    with small(serial=True, async_rl=False, envs=4) as one, small(serial=True, async_rl=False, envs=4) as two:
        one.train(300)
        two.load(one.save(tmp_path / "a.pt"))
        for model in (one, two):
            model.train(300)
        for key, value in one.get_parameters()[0].items():
            assert torch.equal(value, two.get_parameters()[0][key])
        two.set_parameters(one.get_parameters())
        assert two.train(300) == 0
        assert two._trainer.engine.balance().exact


def test_a_batch_that_not_everybody_fills_alike_is_an_error() -> None:
    message = "num_batches_per_iteration (64) must be a multiple of rollout x environments (8 x 6 = 48)"
    with pytest.raises(UserError, match=re.escape(message)):
        small(workers=1, envs=6, async_rl=False)
