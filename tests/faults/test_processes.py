"""Processes of a run are killed, stopped and starved: what can go on goes on, what cannot ends cleanly and by name."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_support import alive, descendants, eventually, nursery_pids, pids_of, small
from tiny_envs import Bandit, KillsAtHandOver, Parent, SlowToBegin

from arl_core import APPO
from arl_core.learning.checkpoint import checkpoints, load_file


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in a thread while the block runs; what it raises is raised at the end."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def kill_at_random(model: APPO, role: str, times: int, seed: int) -> int:
    """Kill that often; returns how many had not ended already."""
    draw, killed = random.Random(seed), 0
    for _ in range(times):
        time.sleep(draw.uniform(0.02, 0.25))
        victims = [pid for name, pid in pids_of(model).items() if name.startswith(role)]
        with contextlib.suppress(ProcessLookupError):  # the trainer has not noticed its end yet
            os.kill(draw.choice(victims), signal.SIGKILL)
            killed += 1
    return killed


def unaccounted(model: APPO) -> int:
    """Frames that were counted as sampled and are nowhere."""
    b = model._trainer.engine.balance()
    return b.produced - b.trained - b.dropped_lag - b.dropped_epoch - b.in_flight


@pytest.mark.parametrize(("inference", "roles"), [("local", ["rollout"]), ("central", ["rollout", "policy"])])
def test_killed_workers_are_replaced(inference: str, roles: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arl")
    with small(Bandit, workers=2, inference=inference, max_worker_restarts=1000) as model:
        model.train(500)
        learner = pids_of(model)["learner-0"]
        for number, role in enumerate(roles):
            before, frames = pids_of(model), model._trainer.frames
            done = threading.Event()

            def work(role: str = role, number: int = number, done: threading.Event = done) -> None:
                try:
                    assert kill_at_random(model, role, 8, seed=number) >= 3
                finally:
                    done.set()

            with meanwhile(work):
                status = model.train(10**9, lambda values, done=done: not done.is_set())
            assert status == 1
            assert unaccounted(model) == 0
            assert status.frames > frames
            assert set(before.values()) != set(pids_of(model).values())
            assert model.train(500) == 0
            assert f"{role}-" in caplog.text
        assert pids_of(model)["learner-0"] == learner
        assert model._trainer.engine.restarts.used >= 2 * len(roles)
        assert re.search(r"rollout-\d was ended by signal 9; restarting it \(1 of 1000\)", caplog.text)


@pytest.mark.parametrize(
    "before",
    [
        True,
        False,
    ],
)
def test_killed_while_handing_over(before: bool, tmp_path: Path) -> None:
    with small(partial(KillsAtHandOver, str(tmp_path / "once"), before), envs=1) as model:
        assert model.train(500) == 0
        assert (tmp_path / "once").exists()
        assert model._trainer.engine.restarts.used == 1
        assert unaccounted(model) == 0


def test_a_worker_killed_during_a_pause_is_replaced() -> None:
    with small(Bandit, workers=2, inference="central") as model:
        model.train(300)
        before = pids_of(model)
        for role in ("rollout-0", "policy-0"):
            os.kill(before[role], signal.SIGKILL)
        assert model.train(300) == 0
        after = pids_of(model)
        assert model._trainer.engine.balance().exact
        assert {name for name in before if before[name] != after[name]} == {"rollout-0", "policy-0"}


def test_a_dead_learner_ends_the_run_at_once_and_nobody_waits_for_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fields = {"train_dir": str(tmp_path), "experiment": "r", "save_every_sec": 0.01}
    with small(Bandit, **fields) as model:
        model.train(300)
        model.set_hyperparameters(learning_rate=1e-4, gamma=0.5)
        done: list[float] = []

        def work() -> None:
            time.sleep(0.5)
            os.kill(pids_of(model)["learner-0"], signal.SIGKILL)
            done.append(time.monotonic())

        with meanwhile(work):
            status = model.train(10**9)
        assert time.monotonic() - done[0] < 5.0
        assert status == 2
        assert "learner-0 was ended by signal 9" in status.error
        assert "learner-0 was ended by signal 9" in caplog.text
        assert not descendants()
        files = checkpoints(tmp_path / "r" / "checkpoints" / "p0")
        assert files
        states = [load_file(file) for file in files]  # it was killed while it saved again and again: none is torn
        weights = model.get_parameters()[0]
        last = states[0]["learner"]
        assert all((weights[key] == last["model"][key]).all() for key in weights)
        status = model.train(200)  # goes on from the last checkpoint, in new processes
        assert status == 0
        assert status.frames >= last["frames"] + 200
        assert model._trainer.engine.balance().exact
        newest = checkpoints(tmp_path / "r" / "checkpoints" / "p0")[0]
        learner = load_file(newest)["learner"]
        assert learner["frames"] == status.frames
        assert learner["learning_rate"]["base"] == 1e-4, "what was changed while it ran stays so"
        assert model.config.gamma == model._trainer.plan.recipe.cfg.gamma == 0.5
        # a learner that dies between calls
        os.kill(pids_of(model)["learner-0"], signal.SIGKILL)
        begin = time.monotonic()
        with pytest.raises(RuntimeError, match="learner-0"):
            model.save(tmp_path / "x.pt")
        assert model.train(100) == 2
        assert time.monotonic() - begin < 8.0
        assert not (tmp_path / "x.pt").exists()


def test_an_answer_that_never_comes_ends_the_run_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with small(Bandit, heartbeat_timeout_s=1.0) as model:
        model.train(100)
        for mailbox in model._trainer.engine._commands:
            monkeypatch.setattr(mailbox, "post", lambda message: None)  # lost on its way
        begin = time.monotonic()
        with pytest.raises(RuntimeError, match=r"learner-0 has not answered 'save' for 2 s"):
            model.save(tmp_path / "x.pt")
        assert 2.0 <= time.monotonic() - begin < 8.0
    assert not descendants()


@pytest.mark.parametrize("hogwild", [False, True])
def test_an_iteration_may_take_longer_than_the_heartbeat_timeout(hogwild: bool, tmp_path: Path) -> None:
    """It makes progress, step by step; who asks the learner for something meanwhile waits for its end."""
    with small(Bandit, heartbeat_timeout_s=1.0, ppo_epochs=6_000, batch_size=32, hogwild=hogwild) as model:
        begin = time.monotonic()
        status = model.train(1, lambda values: bool(model.save(tmp_path / "x.pt")))
        assert time.monotonic() - begin > 2.0, "too short to show anything"
        assert status == 0, status.error
        engine = model._trainer.engine
        assert engine.counts()["optimiser_steps"] >= 6_000
        assert engine.restarts.used == 0


@pytest.mark.parametrize("inference", ["local", "central"])
def test_environments_together_may_take_longer_than_the_heartbeat_timeout(inference: str) -> None:
    """To be made, to be reset, and to begin anew within a step: two seconds each, in rollout worker and evaluator."""
    fields = {"worker_num_splits": 1, "inference": inference, "eval_every_frames": 1, "eval_episodes": 8}
    with small(SlowToBegin, envs=8, heartbeat_timeout_s=1.5, **fields) as model:
        status = model.train(10**6, lambda values: not (values["evaluation"] and values["frames"]))
        assert status == 1, status.error
        assert model._trainer.engine.restarts.used == 0


def test_the_end_of_the_nursery_is_a_failure() -> None:
    with small(Bandit) as model:
        model.train(100)
        with meanwhile(lambda: (time.sleep(0.3), os.kill(nursery_pids(model)[0], signal.SIGKILL))[1]):
            status = model.train(10**9)
        assert status == 2
        assert status.error
        assert not descendants()


def test_stopped_workers_are_named_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with small(Bandit, workers=2, inference="central", heartbeat_timeout_s=3.0) as model:
        model.train(300)
        before = pids_of(model)
        for role in ("rollout-1", "policy-0"):
            victim = pids_of(model)[role]

            def replaced(role: str = role, victim: int = victim) -> bool:
                return pids_of(model).get(role, victim) == victim

            os.kill(victim, signal.SIGSTOP)
            assert model.train(10**9, lambda values, goes_on=replaced: goes_on()) == 1
            assert f"{role} has been silent for" in caplog.text
            assert not psutil.pid_exists(victim)
        assert model.train(300) == 0
        assert model._trainer.engine.balance().exact
        assert pids_of(model)["learner-0"] == before["learner-0"]
        os.kill(before["learner-0"], signal.SIGSTOP)
        status = model.train(10**9)
        assert status == 2
        assert "learner-0 was silent" in status.error
    assert not descendants()


@pytest.mark.slow
def test_stopped_and_continued_in_time_is_taken_back() -> None:
    with small(Bandit, workers=2, heartbeat_timeout_s=30.0) as model:
        model.train(300)
        before = pids_of(model)

        def work() -> None:
            os.kill(before["rollout-0"], signal.SIGSTOP)
            time.sleep(0.6)
            os.kill(before["rollout-0"], signal.SIGCONT)

        with meanwhile(work):
            assert model.train(300) == 0
        assert model.train(300) == 0
        assert pids_of(model) == before
        assert model._trainer.engine.balance().exact


def test_a_run_that_was_suspended_as_a_whole_goes_on() -> None:
    with small(Bandit, workers=2, inference="central", heartbeat_timeout_s=3.0) as model:
        model.train(300)
        before = pids_of(model)
        calls = itertools.count()

        def callback(values: Mapping[str, Any]) -> bool:
            """As a scheduler does: we are stopped too, so nobody watches, and continued a little before the others."""
            call = next(calls)
            for pid in before.values() if call < 2 else ():
                os.kill(pid, signal.SIGCONT if call else signal.SIGSTOP)
            time.sleep(0.0 if call else 4.0)
            return call < 2 or values["frames"] < 600

        assert model.train(10**9, callback) == 1
        assert pids_of(model) == before
        assert model._trainer.engine.balance().exact


def test_a_hung_worker_is_found_though_callbacks_take_long() -> None:
    with small(Bandit, workers=2, heartbeat_timeout_s=2.0) as model:
        model.train(300)
        before = pids_of(model)
        os.kill(before["rollout-0"], signal.SIGSTOP)
        begin = time.monotonic()

        def callback(_: object) -> bool:
            time.sleep(1.5)
            return pids_of(model) == before

        assert model.train(10**9, callback) == 1
        assert time.monotonic() - begin < 12.0
        assert pids_of(model)["learner-0"] == before["learner-0"]


def test_a_restart_that_is_interrupted_leaves_nobody_waiting() -> None:
    class Interrupts(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "restarting it" in record.getMessage():
                raise KeyboardInterrupt  # as a second Ctrl-C at this moment does

    handler = Interrupts()
    with small(Bandit, workers=2) as model:
        model.train(300)
        os.kill(pids_of(model)["rollout-1"], signal.SIGKILL)
        logging.getLogger("arl").addHandler(handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                model.train(10**9)
        finally:
            logging.getLogger("arl").removeHandler(handler)
        status = model.train(300)
        assert status == 2
        assert "rollout-1 was ended by signal 9, and its restart was interrupted" in status.error
        assert model.train(300) == 0


@pytest.mark.parametrize("own_session", [False, True])
def test_what_environments_start_ends_with_them(own_session: bool) -> None:
    with small(partial(Parent, own_session)) as model:
        model.train(100)
        worker = psutil.Process(pids_of(model)["rollout-0"])
        children = worker.children()
        assert len(children) == 4  # one an environment
        worker.kill()
        assert model.train(100) == 0
        assert eventually(lambda: not any(alive(child) for child in children))
        children = psutil.Process(pids_of(model)["rollout-0"]).children()
        assert len(children) == 4
    assert eventually(lambda: not any(alive(child) for child in children))
