"""A model's end, and calls that come at a wrong moment: nothing is lost, nothing is started again, nobody waits for ever."""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_support import descendants, pids_of, same, small
from tiny_envs import Bandit

from arl_core import APPO, UserError
from arl_core.runtime import async_engine
from arl_core.runtime.trainer import Outcome

LATE = [
    pytest.param(lambda model: model.train(10), id="train"),
    pytest.param(lambda model: model.save("late.pt"), id="save"),
    pytest.param(lambda model: model.set_hyperparameters(gamma=0.9), id="set_hyperparameters"),
]


@pytest.fixture(params=[True, False], ids=["serial", "async"])
def serial(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_forgotten_model_leaves_neither_descriptors_nor_processes(serial: bool) -> None:
    def forget_one() -> None:
        assert small(Bandit, serial=serial).train(200) == 0
        gc.collect()

    forget_one()  # what a first run imports may open files for good
    before = sorted(os.listdir("/proc/self/fd"))
    forget_one()
    assert sorted(os.listdir("/proc/self/fd")) == before
    psutil.wait_procs(descendants(), timeout=5.0)
    assert not descendants()


@pytest.mark.parametrize("late", LATE)
def test_a_closed_model_starts_nothing_again(late: Callable[[APPO], Any], tmp_path: Path, serial: bool) -> None:
    place = {"train_dir": str(tmp_path), "experiment": "r"}
    with small(Bandit, serial=serial, **place) as model:
        model.train(200)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UserError, match="this model is closed"):
        late(model)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert same(model.get_parameters()[0], model.get_parameters()[0])
    assert model.evaluate(2)["episodes"] == 2


@pytest.mark.parametrize("what", ["train", "close"])
def test_a_callback_may_not_train_or_close(what: str, serial: bool) -> None:
    def callback(_: Any) -> None:
        model.train(10) if what == "train" else model.close()

    with small(Bandit, serial=serial) as model:
        with pytest.raises(UserError, match=f"{what} was called while .* return False to end the call"):
            model.train(10**6, callback=callback)
        assert model.train(200) == Outcome.SUCCESS


def test_an_interrupted_pause_leaves_a_model_that_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C while the first one's pause is waited for, then the notebook's cell again."""
    with small(Bandit, workers=2) as model:
        model.train(200)
        engine: Any = model._trainer.engine

        def interrupted() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(engine, "_pause", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.train(200)
        monkeypatch.undo()
        seconds = engine.statistics.seconds
        assert engine.statistics.seconds == seconds  # the clock stands
        assert model.train(400) == Outcome.SUCCESS
        assert engine.balance().exact


def test_a_forked_process_leaves_the_model_to_its_owner() -> None:
    with small(Bandit) as model:
        model.train(200)
        child = os.fork()
        if child == 0:
            try:
                model.close()
                model.train(10)
            except UserError as error:
                os._exit(42 if "belongs to process" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        assert model.train(200) == Outcome.SUCCESS


def test_a_nursery_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_engine, "EXIT_WAIT_S", 1.0)
    with small(Bandit, heartbeat_timeout_s=2.0) as model:
        model.train(200)
        (nursery,) = {psutil.Process(pid).ppid() for pid in pids_of(model).values()}
        os.kill(nursery, signal.SIGSTOP)
        os.kill(pids_of(model)["rollout-0"], signal.SIGSTOP)
        status = model.train(10**6)
        assert status == Outcome.FAILURE
        assert "rollout-0 was ended for its silence, and nobody has seen its end" in status.error


def test_a_full_disk_costs_the_summary_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with small(Bandit, serial=True, train_dir=str(tmp_path), experiment="r") as model:

        def full(summary: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(model._trainer.directory, "write_summary", full)
        assert model.train(200) == Outcome.SUCCESS
        assert "summary.json cannot be written: No space left on device" in caplog.text
