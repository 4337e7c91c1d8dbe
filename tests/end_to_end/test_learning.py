"""Whole runs on tiny problems: they learn, and every frame is accounted for."""

from __future__ import annotations

import os
from typing import Any

import psutil
import pytest
from run_support import pids_of, small
from tiny_envs import Bandit, DictBandit, Memory, Where, recorded

from arl_core import APPO
from arl_core.runtime.plan import available_cores


def best_return(model: APPO, frames: int, calls: int, enough: float) -> float:
    """The best mean return seen, training until it is `enough`. The books are checked at every pause."""
    best = -1e9
    for _ in range(calls):
        status = model.train(frames)
        assert status == 0
        balance = model._trainer.engine.balance()
        assert balance.exact, balance
        best = max(best, status.return_mean if status.return_mean is not None else -1e9)
        if best >= enough:
            break
    return best


@pytest.mark.parametrize(
    ("workers", "envs", "fields"),
    [
        pytest.param(1, 1, {"inference": "local"}, marks=pytest.mark.slow),
        (2, 4, {"inference": "local", "worker_num_splits": 2}),
        (8, 1, {"inference": "local"}),
        pytest.param(1, 4, {"inference": "central", "worker_num_splits": 1}, marks=pytest.mark.slow),
        (2, 4, {"inference": "central"}),  # two groups each
        pytest.param(4, 2, {"inference": "central", "policy_workers_per_policy": 2}, marks=pytest.mark.slow),
    ],
)
def test_the_bandit_is_solved(workers: int, envs: int, fields: dict[str, Any]) -> None:
    with small(Bandit, workers=workers, envs=envs, exploration_loss_coeff=0.0, learning_rate=1e-2, **fields) as model:
        assert best_return(model, 1_500, 20, 3.8) >= 3.8  # 4 is perfect, 2 is chance
        names = pids_of(model)
        assert sum(name.startswith("rollout") for name in names) == workers
        central = fields["inference"] == "central"
        assert sum(name.startswith("policy") for name in names) == (
            fields.get("policy_workers_per_policy", min(workers, available_cores())) if central else 0
        )


@pytest.mark.parametrize(("core", "inference"), [("gru", "local"), ("lstm", "central")])
def test_memory_is_used(core: str, inference: str) -> None:
    fields = {"use_rnn": True, "rnn_type": core, "hidden_size": 16, "rollout": 12, "batch_size": 192, "learning_rate": 1e-2}
    with small(Memory, workers=1, envs=16, inference=inference, **fields) as model:
        assert best_return(model, 5_000, 16, 0.85) >= 0.85  # without memory the mean is 0


def test_pictures_and_vectors_together() -> None:
    with small(DictBandit, envs=8, learning_rate=1e-2, exploration_loss_coeff=0.0) as model:
        assert type(model._trainer.models[0].actor.encoder).__name__ == "MultiInputEncoder"
        assert best_return(model, 2_000, 15, 3.6) >= 3.6  # 4 is perfect, 2 is chance


def test_continuous_actions_run() -> None:
    with small("gym:Pendulum-v1", normalize_input=True) as model:
        status = model.train(2_000)
        assert status == 0
        assert status.return_mean is not None
        assert -2000 < status.return_mean < 0
        assert model._trainer.engine.balance().exact


def test_what_environments_report_reaches_the_callback() -> None:
    seen: list[dict[str, float]] = []
    with small(recorded) as model:
        model.train(1_000, lambda values: seen.append(dict(values["metrics"])))
        metrics = model._trainer.engine.statistics.episodes.metric_means
        assert 0 <= metrics["ones"] <= 1
        assert metrics["episode.l"] == 4
        assert 0 <= metrics["episode.r"] <= 4
        assert model.evaluate(episodes=3)["episode.l"] == 4
    assert seen


def test_the_sampler_alone() -> None:
    with small(sampler_only=True) as model:
        before = {key: value.clone() for key, value in model.get_parameters()[0].items()}
        status = model.train(5_000)
        assert status == 0
        assert status.frames >= 5_000
        assert model._trainer.engine.balance().exact
        after = model.get_parameters()[0]
        assert all((after[key] == before[key]).all() for key in before)
        assert model._trainer.engine.counts()["optimiser_steps"] == 0


def test_a_light_worker_with_niceness_and_a_processor_of_its_own() -> None:
    """Central inference: no torch in the rollout worker, whose own memory stays small."""
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    with small(Where, workers=2, inference="central", niceness=3, cpu_affinity=True) as model:
        model.train(500)
        metrics = model._trainer.engine.statistics.episodes.metric_means
        assert metrics["torch"] == 0.0
        assert metrics["nice"] == mine + 3
        allowed = sorted(os.sched_getaffinity(0))
        for number in range(2):
            process = psutil.Process(pids_of(model)[f"rollout-{number}"])
            assert process.nice() == mine + 3
            assert process.cpu_affinity() == [allowed[number % len(allowed)]]
            assert process.memory_full_info().uss < 60 * 2**20
            assert not any("libtorch" in part.path for part in process.memory_maps())
        learner = psutil.Process(pids_of(model)["learner-0"])
        assert learner.nice() == mine
        assert any("libtorch" in part.path for part in learner.memory_maps())  # so that the look above sees what is there


@pytest.mark.slow
def test_cartpole_is_learnt() -> None:
    with small(workers=2, envs=16, rollout=32, batch_size=1024, learning_rate=1e-3, reward_scale=0.1) as model:
        assert best_return(model, 50_000, 30, 400.0) >= 400.0
        assert model.evaluate(episodes=10)["return_mean"] >= 400.0
