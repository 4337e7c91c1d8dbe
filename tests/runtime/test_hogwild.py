"""`hogwild`: the rollout workers train, and nobody else does (A3C as published)."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import give_up, keep, pids_of, small
from tiny_envs import Bandit, KillsWhileTraining

from arl_core import APPO, UserError
from arl_core.learning.checkpoint import load_file

A3C_AS_PUBLISHED: dict[str, Any] = {"algo": "a3c", "optimizer": "rmsprop", "hogwild": True, "batch_size": 32}


def hogwild(env: Any = Bandit, workers: int = 2, **fields: Any) -> APPO:
    return small(env, workers=workers, **{**A3C_AS_PUBLISHED, **fields})


def weights(model: APPO) -> dict[str, torch.Tensor]:
    return model.get_parameters()[0]


def assert_books(model: APPO) -> None:
    balance = model._trainer.engine.balance()
    assert balance.exact, balance


@pytest.fixture(scope="module")
def model() -> Iterator[APPO]:
    made = keep(hogwild(max_worker_restarts=1000, learning_rate=1e-2))
    yield made
    give_up(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"algo": "a3c", "optimizer": "rmsprop", "rmsprop_momentum": 0.9, "lr_schedule": "linear", "train_for_env_steps": 3_000},
        # Adam, slots split and joined, recurrent state
        {"algo": "appo", "batch_size": 16, "num_batches_per_iteration": 3, "ppo_epochs": 2, "use_rnn": True, "hidden_size": 8},
    ],
)
def test_one_worker_is_the_serial_run_bit_for_bit(fields: dict[str, Any]) -> None:
    """A worker alone applies each gradient where it was computed: that is the learner's own arithmetic on the same rollouts."""
    common = {"batch_size": 32, **fields}
    with small(workers=1, serial=True, **common) as serial, small(workers=1, hogwild=True, **common) as one:
        for frames in (700, 300):
            assert serial.train(frames) == one.train(frames) == 0
            assert serial._trainer.engine.frames == one._trainer.engine.frames
            assert serial._trainer.engine.counts()["optimiser_steps"] == one._trainer.engine.counts()["optimiser_steps"] > 0
            for key, value in weights(serial).items():
                assert torch.equal(value, weights(one)[key]), key
            assert_books(one)
        assert one._trainer.engine.statistics.policies[0].lag_max == serial._trainer.engine.statistics.policies[0].lag_max


def test_serial_hogwild_is_the_serial_run() -> None:
    with (
        small(workers=1, serial=True, batch_size=32) as plain,
        small(workers=1, serial=True, hogwild=True, batch_size=32) as one,
    ):
        plain.train(300)
        one.train(300)
        assert all(torch.equal(value, weights(one)[key]) for key, value in weights(plain).items())


def test_two_workers_solve_the_bandit_and_every_frame_is_accounted_for(model: APPO) -> None:
    best, lag = 0.0, 0.0
    for _ in range(12):
        frames = model._trainer.frames
        status = model.train(1_500)
        statistics = model._trainer.engine.statistics
        assert status == 0
        assert frames + 1_500 <= status.frames < frames + 1_500 + 2 * 32, "at most one batch a worker too many"
        assert_books(model)
        best = max(best, status.return_mean or 0.0)
        lag = max(lag, statistics.policies[0].lag_max)
        if best >= 3.8 and lag >= 1 and len(statistics.usage.newest) == 3:  # reports come four times a second
            break
    assert best >= 3.8  # 4 is perfect, 2 is chance
    assert lag >= 1, "both moved the parameters at the same time"
    assert {"policy_loss", "grad_norm", "learning_rate"} <= set(statistics.policies[0].losses)
    snapshot = model._trainer.snapshot
    assert snapshot is not None
    assert snapshot.learner_busy > 0
    training = {name: report["parts_s"]["training"] for name, report in statistics.usage.newest.items()}
    assert training.keys() == {"rollout-0", "rollout-1", "learner-0"}
    assert training["rollout-0"] > 0 == training["learner-0"], "who trains is charged with it"
    assert model._trainer.engine._boards[0].version == model._trainer.engine.counts()["optimiser_steps"]


def test_two_workers_make_progress_on_cartpole() -> None:
    fields = {"rollout": 20, "batch_size": 320, "learning_rate": 1e-3, "reward_scale": 0.1, "max_grad_norm": 0.5}
    fields |= {"rmsprop_eps": 1e-5, "exploration_loss_coeff": 0.0, "normalize_advantages": False}
    with hogwild("gym:CartPole-v1", envs=16, **fields) as model:
        best = 0.0
        while best < 100.0 and model._trainer.frames < 100_000:
            best = max(best, model.train(10_000).return_mean or 0.0)
        assert best >= 100.0  # random actions reach 22
        assert_books(model)


def test_weights_and_hyperparameters_from_outside(model: APPO, tmp_path: Path) -> None:
    model.train(600)
    engine = model._trainer.engine
    good, version = weights(model), engine._boards[0].version
    model.set_parameters({0: {key: value * 0.5 for key, value in good.items()}})
    assert engine._boards[0].version == version + 1
    assert all(torch.equal(value * 0.5, weights(model)[key]) for key, value in good.items())
    saved = load_file(Path(model.save(tmp_path / "a.pt")))["learner"]
    assert not saved["optimizer"]["square_avg"].any(), "the optimiser begins anew"
    model.set_hyperparameters(learning_rate=1e-12)
    model.train(600)
    assert_books(model)
    for key, value in good.items():  # who still had the old ones would have moved the halved ones
        torch.testing.assert_close(weights(model)[key], value * 0.5, rtol=0, atol=1e-6)
    assert engine.counts()["optimiser_steps"] > version + 5
    model.set_hyperparameters(learning_rate=1e-2)
    model.train(300)
    assert any((weights(model)[key] - value * 0.5).abs().max() > 1e-3 for key, value in good.items())


def test_a_checkpoint_goes_on_with_and_without_a_learner(model: APPO, tmp_path: Path) -> None:
    model.train(600)
    path = model.save(tmp_path / "a.pt")
    state = load_file(Path(path))["learner"]
    assert state["frames"] == model._trainer.engine.frames
    assert 0 < int(state["optimizer"]["step"]) <= state["version"] == model._trainer.engine._boards[0].version
    assert state["optimizer"]["square_avg"].any()
    model.train(300)
    model.load(path)
    assert model._trainer.engine.frames == state["frames"]
    assert all(torch.equal(value, weights(model)[key]) for key, value in state["model"].items())
    model.train(300)
    assert_books(model)
    again = load_file(Path(model.save(tmp_path / "b.pt")))["learner"]
    steps = model._trainer.engine.counts()["optimiser_steps"]
    assert again["frames"] >= state["frames"] + 300
    grown = int(again["optimizer"]["step"]) - int(state["optimizer"]["step"])
    assert grown > 5, "bias correction and schedules go on from the checkpoint's steps"
    assert steps == again["version"]
    with hogwild(hogwild=False, serial=True) as learner:
        learner.load(path)
        assert learner.train(200) == 0
        assert learner._trainer.engine.frames >= state["frames"] + 200


# --------------------------------------------------------------------------- faults


def killing(model: APPO, times: int, done: threading.Event) -> Callable[[], None]:
    draw = random.Random(0)

    def work() -> None:
        try:
            for _ in range(times):
                time.sleep(draw.uniform(0.05, 0.25))
                victims = [pid for name, pid in pids_of(model).items() if name.startswith("rollout")]
                with contextlib.suppress(ProcessLookupError):  # the trainer has not noticed its end yet
                    os.kill(draw.choice(victims), signal.SIGKILL)
        finally:
            done.set()

    return work


def test_killed_workers_are_replaced_and_no_frame_is_lost(model: APPO) -> None:
    model.train(300)
    keeper, frames, done = pids_of(model)["learner-0"], model._trainer.frames, threading.Event()
    thread = threading.Thread(target=killing(model, 8, done))
    thread.start()
    assert model.train(10**9, lambda values: not done.is_set()) == 1
    thread.join(30)
    assert_books(model)
    assert model._trainer.engine.restarts.used >= 3
    assert model._trainer.frames > frames
    assert model.train(500) == 0
    assert_books(model)
    assert pids_of(model)["learner-0"] == keeper


@pytest.mark.parametrize("when", ["applied", "counted"])
def test_killed_while_training(when: str, tmp_path: Path) -> None:
    with hogwild(partial(KillsWhileTraining, str(tmp_path / "once"), when), workers=1, batch_size=24, envs=4) as model:
        assert model.train(500) == 0
        assert (tmp_path / "once").exists()
        assert model._trainer.engine.restarts.used == 1
        assert_books(model)
        dropped = model._trainer.engine.balance().dropped_epoch
        assert dropped <= 2 * 32, "what it had taken, and no more"
        assert dropped or when == "counted"


# --------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inference": "central"}, "hogwild does not go with inference central"),
        ({"worker_num_splits": 2}, "hogwild does not go with worker_num_splits above 1"),
        ({"self_play_fraction": 0.5}, "hogwild does not go with self_play_fraction"),
        ({"async_rl": False, "batch_size": 64}, "hogwild does not go with no-async_rl"),
        ({"serial": True}, "hogwild does not go with serial with more than one worker"),
        ({"lr_schedule": "kl_adaptive_epoch"}, "hogwild does not go with lr_schedule kl_adaptive_epoch"),
        ({"losses": [{"name": "x/y"}]}, "hogwild does not go with losses of plugins"),
        ({"normalize_input": True}, "hogwild shares parameters alone.*Turn normalize_input"),
        ({"normalize_returns": True}, "hogwild shares parameters alone.*Turn normalize_input, normalize_returns"),
    ],
)
def test_what_makes_no_sense_is_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        hogwild(**fields)
    assert "\n" not in str(caught.value)
    assert re.search(r"Leave|Turn", str(caught.value))
