"""Environments that raise, hang, crash and lie: named, within bounded time, and never trained on."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from run_support import RUN, SMALL, arl_apart, descendants, small
from tiny_envs import Bandit, Faulty, HangsUp, Told

from arl_core import APPO, UserError
from arl_core.config import Layer
from arl_core.envs.faults import EnvironmentFault
from arl_core.registry import resolve_run
from arl_core.runtime.evaluate import evaluate_cast
from arl_core.runtime.trainer import Outcome, Trainer
from arl_core.sampling.playing import Cast


def fails(what: str, where: str, at: int, **fields: Any) -> str:
    """The error of a run whose environment does `what`."""
    heartbeat = 4.0 if what == "hang" else 60.0
    with small(partial(Faulty, what, where, at), heartbeat_timeout_s=heartbeat, max_worker_restarts=0, **fields) as model:
        begin = time.monotonic()
        status = model.train(100_000)
        assert status == 2
        assert time.monotonic() - begin < 20.0
        assert not descendants()
        return status.error


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("what", "where", "at", "named"),
    [
        pytest.param("raise", "construct", 0, ["rollout-0", "ValueError", "the maze has no exit"], marks=slow),
        ("raise", "step", 30, ["rollout-0", "environment 0", "seed", "failed in step", "the maze has no exit"]),
        ("hang", "step", 30, ["rollout-0", "silent for 4 s", "environment", "raise heartbeat_timeout_s"]),
        ("segfault", "step", 30, ["rollout-0", "signal 11"]),
        pytest.param("exit", "reset", 0, ["rollout-0", "exit code 7"], marks=slow),
        ("nan", "step", 30, ["rollout-0", "environment 0", "reward", "not finite", "nan"]),
        pytest.param("raise", "reset", 3, ["environment 0", "failed in reset", "the maze has no exit"], marks=slow),
        ("exit", "construct", 0, ["rollout-0", "exit code 7"]),
        pytest.param("exit", "step", 30, ["rollout-0", "exit code 7"], marks=slow),
        pytest.param("segfault", "construct", 0, ["rollout-0", "signal 11"], marks=slow),
        pytest.param("segfault", "reset", 3, ["rollout-0", "signal 11"], marks=slow),
        pytest.param("hang", "construct", 0, ["rollout-0", "silent for 4 s"], marks=slow),
        pytest.param("hang", "reset", 3, ["rollout-0", "silent for 4 s"], marks=slow),
    ],
)
def test_the_error_is_named(
    what: str, where: str, at: int, named: list[str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    error = fails(what, where, at)
    for part in named:
        assert part in error
    assert error in caplog.text
    if what == "raise":
        assert 'raise ValueError("the maze has no exit")' in caplog.text  # the traceback
    if what == "segfault":
        assert "tiny_envs.py" in capfd.readouterr().err  # where the interpreter was


def test_a_fault_that_does_not_come_again_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arl")
    with small(partial(Faulty, "segfault", "step", 30, str(tmp_path / "once")), workers=2) as model:
        status = model.train(3_000)
        assert status == 0
        assert model._trainer.engine.balance().exact
        assert "was ended by signal 11; restarting it (1 of 10)" in caplog.text
        assert status.return_mean is not None


def test_a_cause_is_heard_by_a_trainer_that_was_busy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told, calls = tmp_path / "told", iter(range(10**6))

    def callback(values: Mapping[str, Any]) -> bool:
        if next(calls) == 1:
            time.sleep(0.6)  # a report of the worker's waits to be taken
            told.touch()
            time.sleep(3.0)
        return "restarting it" not in caplog.text

    with small(partial(Told, str(told)), envs=1) as model:
        assert model.train(10**9, callback) == 1
    assert "rollout-0: EnvironmentFault: environment 0" in caplog.text
    assert "as told" in caplog.text


def test_a_crash_loop_exhausts_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arl")
    with small(partial(Faulty, "raise", "step", 30), max_worker_restarts=2) as model:
        status = model.train(10**9)
        assert status == 2
        assert "(after 2 restarts)" in status.error
        assert "failed in step" in status.error
        assert caplog.text.count("restarting it") == 2
        assert caplog.text.count('raise ValueError("the maze has no exit")') == 3  # each life's traceback
        assert model.get_parameters()
    assert not descendants()


@pytest.mark.parametrize(
    ("what", "fields"),
    [("nan", {}), ("blind", {}), ("blind", {"inference": "central", "use_rnn": True})],  # the policy worker's memory lives on
)
def test_nothing_of_a_poisoned_rollout_is_trained_on(tmp_path: Path, what: str, fields: dict[str, Any]) -> None:
    with small(partial(Faulty, what, "step", 30, str(tmp_path / "once")), **fields) as model:
        assert model.train(2_000) == 0
        assert model._trainer.engine.balance().exact
        assert (tmp_path / "once").exists()
        assert all(value.isfinite().all() for value in model.get_parameters()[0].values() if value.is_floating_point())


def test_slow_environments_still_pause_and_stop() -> None:
    with small(partial(Faulty, "slow", "step", 0), envs=2) as model:
        assert model.train(100) == 0
        begin = time.monotonic()
    assert time.monotonic() - begin < 3.0


class Leaves(Bandit):
    """Ends the process in which it is made."""

    def __init__(self) -> None:
        sys.exit(3)


@pytest.mark.parametrize("serial", [False, True])
def test_a_vectorised_group_that_ends_the_process_is_named(serial: bool) -> None:
    fields = {**SMALL, "num_workers": 1, "num_envs_per_worker": 4, "max_worker_restarts": 0, "serial": serial}
    resolved, env = resolve_run(Layer("test", {"env": "py:tiny_envs:Bandit", **fields}))
    with closing(Trainer(resolved, replace(env, vector_maker="tiny_envs:leaving_group"))) as trainer:
        assert trainer.train(10**6) == Outcome.FAILURE
        assert str(trainer.failure).removeprefix("rollout-0: ") == "SystemExit: the maze is shut"
        cast = Cast(trainer.models, trainer.plan.agent_policies)
        with pytest.raises(EnvironmentFault, match="ended the process: SystemExit: the maze is shut"):
            evaluate_cast(cast, trainer.env, trainer.cfg, episodes=100, deterministic=True)


@pytest.mark.parametrize("serial", [False, True])
def test_what_close_raises_is_told_and_takes_nothing_from_a_run(
    serial: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with small(HangsUp, serial=serial) as model:
        assert model.train(200) == 0
        assert model.evaluate(2)["episodes"] == 2
    told = caplog.text + capfd.readouterr().err  # ours, the worker's
    assert told.count("failed in close: OSError: the simulator is gone") == 2  # the run's environments, the evaluation's


def test_what_close_raises_takes_nothing_from_what_the_command_line_plays(tmp_path: Path) -> None:
    named = ("--env", "py:tiny_envs:HangsUp")
    trained = arl_apart("run", *named, *RUN, "--serial", "--train_for_env_steps", "200", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "See it play" in trained.stdout
    played = arl_apart("eval", "runs/r", *named, "--json", cwd=tmp_path)
    assert played.returncode == 0, played.stderr
    assert json.loads(played.stdout)["episodes"] == 10


def test_an_environment_that_ends_the_process_as_it_is_made_is_named() -> None:
    with pytest.raises(UserError, match="cannot be built: SystemExit: 3"):
        APPO(env=Leaves)
