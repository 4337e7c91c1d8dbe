"""Several agents and policies in processes: local and central inference, deaths, run directories, the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from agent_envs import Kills, Opposites, RockPaperScissors, Staggered
from run_support import eventually, small

from arl_core import APPO
from arl_core.learning.checkpoint import checkpoints
from arl_core.runtime.evaluate import evaluate_run

SELF_PLAY: dict[str, Any] = {"self_play_fraction": 0.5, "self_play_snapshots": 2, "self_play_every_frames": 500}


def balances(model: APPO) -> bool:
    engine = model._trainer.engine
    each = [engine.balance(policy) for policy in range(model.config.num_policies)]
    assert engine.balance().produced == sum(one.produced for one in each)
    assert all(one.trained > 0 for one in each)
    return engine.balance().exact and all(one.exact for one in each)


BOTH = pytest.mark.parametrize("inference", [pytest.param("local", marks=pytest.mark.slow), "central"])


@BOTH
def test_two_policies_learn_what_each_of_them_wants(inference: str) -> None:
    fields = {"num_policies": 2, "inference": inference, "learning_rate": 1e-2, "policy_workers_per_policy": 1}
    with small(Opposites, envs=8, **fields) as model:
        for _ in range(3):
            assert model.train(3_000) == 0, model._trainer.failure
            assert balances(model)
        result = model.evaluate(6)
        assert min(result["policy_0/return_mean"], result["policy_1/return_mean"]) > 3.5
        weights = model.get_parameters()
        on_its_way = model._trainer.engine.balance(1).in_flight
        model.set_parameters({1: weights[0]})
        assert model.train(500) == 0
        assert balances(model)
        assert model._trainer.engine.balance(1).dropped_epoch <= on_its_way


@BOTH
def test_agents_that_come_and_go_with_memory_snapshots_and_drawn_policies(inference: str) -> None:
    fields = {"num_policies": 2, "inference": inference, "use_rnn": True, "policy_assignment": "random"}
    fields |= SELF_PLAY | {"self_play_every_frames": 150}
    with small(Staggered, workers=2, envs=2, worker_num_splits=2, **fields) as model:
        played: set[int] = set()
        for _ in range(20):  # the slots hold what was played last: not everybody every time
            assert model.train(500) == 0, model._trainer.failure
            assert balances(model)
            arena = model._trainer.engine._arena  # type: ignore[attr-defined]
            played |= {int(player) for player in arena["owner"][arena["valid"]]}
            if len(played) == 6 and model._trainer.frames >= 2_000:
                break
        assert played == set(range(6)), "every policy and snapshot plays"
        assert (arena["weights.latest"][2:, 0] >= 3).all(), "and every snapshot was replaced"


def test_a_killed_worker_costs_no_frame_of_any_policy(tmp_path: Path) -> None:
    fields = {"num_policies": 2, "env_options": {"once": str(tmp_path / "once")}, **SELF_PLAY}
    with small(Kills, workers=2, envs=2, **fields) as model:
        assert model.train(4_000) == 0, model._trainer.failure
        assert eventually((tmp_path / "once").exists)
        assert model._trainer.engine.restarts.used == 1  # type: ignore[attr-defined]
        assert balances(model)


def test_a_run_directory_of_two_policies_is_evaluated_and_resumed(tmp_path: Path) -> None:
    fields = {"num_policies": 2, "train_dir": str(tmp_path), "experiment": "r", "save_best_after": 0, "stats_window": 5}
    with small("py:agent_envs:Opposites", envs=8, learning_rate=1e-2, **fields) as model:
        assert model.train(5_000) == 0, model._trainer.failure
        frames = model._trainer.frames
    run = tmp_path / "r"
    summary = json.loads((run / "summary.json").read_text())
    assert [policy["frames"] > 0 and policy["policy_lag_max"] >= 0 for policy in summary["policies"]] == [True, True]
    assert sum(policy["frames"] for policy in summary["policies"]) == summary["frames"] == frames
    for name in ("p0", "p1"):
        assert checkpoints(run / "checkpoints" / name)
        assert checkpoints(run / "checkpoints" / name / "best")
    how: dict[str, Any] = {
        "episodes": 4,
        "deterministic": True,
        "seed": None,
        "picture": None,
        "env": "py:agent_envs:Opposites",
    }
    assert evaluate_run(run, **how)["return_mean"] > 3.0  # type: ignore[operator]
    assert evaluate_run(run, **how, policy=1)["return_mean"] == pytest.approx(2.0)
    with small("py:agent_envs:Opposites", envs=8, **{**fields, "experiment": ""}) as again:
        again.load(run)
        assert again._trainer.frames == frames


def test_a_linear_schedule_follows_the_frames_of_all_policies() -> None:
    """A policy that gets more of the frames than others must not stop learning before the run ends."""
    fields: dict[str, Any] = {"num_policies": 2, "lr_schedule": "linear", "train_for_env_steps": 2_000, "learning_rate": 1e-2}
    with small("py:agent_envs:Staggered", serial=True, envs=8, agent_policies={"a": 0, "b": 0, "c": 1}, **fields) as model:
        model.train(1_800)  # a mean of 1,800 for each policy
        learner = model._trainer.engine.learners[0]  # type: ignore[attr-defined]
        assert learner.frames > 2_000
        assert 0.0 < learner.optimizer.lr < 0.2 * 1e-2


@pytest.mark.slow
def test_self_play_in_a_game_without_a_best_move_stays_near_the_equilibrium() -> None:
    """Who plays one move too often is beaten by the next, and snapshots of all its past are there to show it. Entropy keeps the
    best answers from being pure ones, which follow each other for ever."""
    fields = {
        "self_play_fraction": 0.8,
        "self_play_snapshots": 8,
        "self_play_every_frames": 1_000,
        "exploration_loss_coeff": 0.3,
        "seed": 2,
    }
    seen = []
    with small(RockPaperScissors, envs=16, **fields) as model:
        for _ in range(5):
            assert model.train(10_000) == 0, model._trainer.failure
            obs = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.1]])  # of either agent
            seen.append(torch.softmax(model.policy()(obs).params, -1))
        mean = model._trainer.engine.statistics.episodes.return_mean
        assert mean is not None
        assert abs(mean) < 0.4
    rock, paper, scissors = torch.stack(seen).mean((0, 1)).tolist()
    assert paper == pytest.approx(0.5, abs=0.12)
    assert rock == pytest.approx(0.25, abs=0.12)
    assert scissors == pytest.approx(0.25, abs=0.12)
