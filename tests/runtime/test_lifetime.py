"""A model's end, and calls that come at a wrong moment: nothing is lost, nothing is started again, nobody waits for ever."""

from __future__ import annotations

import errno
import gc
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_support import descendants, pids_of, same, small
from tiny_envs import Bandit, Sluggish

from arl_core import APPO, UserError
from arl_core.ipc.control import Role
from arl_core.runtime.engines import async_engine
from arl_core.runtime.trainer import Outcome, Trainer

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
        with pytest.raises(UserError, match=f"{what} was called while .* return False to end it"):
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


def test_new_weights_wait_until_everybody_stands_still() -> None:
    """An observer that raises leaves processes on their way to a pause: none of them takes the new weights for the old ones."""

    def callback(_: Any) -> None:
        raise RuntimeError("enough")

    with small(Sluggish, envs=2) as model:
        with pytest.raises(RuntimeError, match="enough"):
            model.train(10**6, callback)
        model.set_parameters(model.get_parameters())
        engine: Any = model._trainer.engine
        for role in Role:
            assert (engine.control.ack[list(engine.plan.numbers_of(role))] == engine.control.wanted[role]).all()


def test_a_signal_between_training_and_saving_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Trainer.read_weights

    def read_late(trainer: Trainer) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        read(trainer)

    with small(Bandit, serial=True, train_dir=str(tmp_path), experiment="x") as model:
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "read_weights", read_late)
            assert model.train(200) == Outcome.INTERRUPTED
        assert list((tmp_path / "x").rglob("*.pt"))


def test_another_thread_changes_nothing_while_train_runs(tmp_path: Path, serial: bool) -> None:
    runs, over = threading.Event(), threading.Event()

    def callback(_: Any) -> bool:
        runs.set()
        return not over.is_set()

    with small(Bandit, serial=serial) as model:
        weights = model.get_parameters()
        model.save(tmp_path / "c.pt")
        thread = threading.Thread(target=model.train, args=(10**9, callback))
        thread.start()
        try:
            assert runs.wait(30)
            for change in (
                lambda: model.set_parameters(weights),
                lambda: model.load(tmp_path / "c.pt"),
                lambda: model.save(tmp_path / "d.pt"),
                lambda: model.set_hyperparameters(gamma=0.9),
            ):
                with pytest.raises(UserError, match="train runs in another thread: do this in its callback, or after it"):
                    change()
            assert model.get_parameters()[0].keys() == weights[0].keys()  # reading is free
        finally:
            over.set()
            thread.join(30)
        model.set_parameters(weights)
        assert same(model.get_parameters()[0], weights[0])
        assert model.train(200) == Outcome.SUCCESS


def test_a_forked_process_has_models_of_its_own() -> None:
    with small(Bandit) as model:  # building its network has started torch's threads, which a forked process does not have
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            with small(Bandit, serial=True) as own:
                os._exit(own.train(200))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == Outcome.SUCCESS
        assert model.train(200) == Outcome.SUCCESS


def test_a_forked_process_leaves_the_model_to_its_owner() -> None:
    with small(Bandit) as model:
        model.train(200)
        child = os.fork()
        if child == 0:
            try:
                model.close()
                for change in (lambda: model.set_parameters(model.get_parameters()), lambda: model.train(10)):
                    with pytest.raises(UserError, match="belongs to process"):
                        change()
                os._exit(42)
            finally:
                os._exit(1)
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
