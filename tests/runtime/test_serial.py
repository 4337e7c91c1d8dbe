"""Serial mode: the same run twice is the same run, bit for bit, and so is one that was cut in two."""

from __future__ import annotations

import errno
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_support import SMALL, descendants, script, small
from tiny_envs import Bandit, Memory

from arl_core import APPO, UserError
from arl_core.files import write_atomic
from arl_core.runtime.engines.serial_engine import SerialEngine


def serial(env: Any = "gym:CartPole-v1", workers: int = 2, envs: int = 3, **fields: Any) -> APPO:
    return APPO(
        env=env, num_workers=workers, num_envs_per_worker=envs, policy_kwargs={**SMALL, "serial": True, "seed": 4, **fields}
    )


def engine_of(model: APPO) -> SerialEngine:
    engine = model._trainer.engine
    assert isinstance(engine, SerialEngine)
    return engine


def weights(model: APPO) -> dict[str, torch.Tensor]:
    return model.get_parameters()[0]


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_two_runs_are_bit_equal_and_start_no_process() -> None:
    with serial() as one, serial() as two, serial(seed=5) as other:
        before = {process.pid for process in descendants()}
        for model in (one, two, other):
            assert model.train(1_500) == 0
            assert engine_of(model).balance().exact
        assert {process.pid for process in descendants()} == before
        assert_equal(weights(one), weights(two))
        key = next(iter(weights(one)))
        assert not torch.equal(weights(one)[key], weights(other)[key])


def test_weights_do_not_depend_on_the_cores_of_the_machine() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = weights(serial(hidden_size=256))
        torch.set_num_threads(2)
        assert_equal(weights(serial(hidden_size=256)), one)
        assert torch.get_num_threads() == 2  # the process is the user's
    finally:
        torch.set_num_threads(threads)


def test_models_that_threads_make_at_once_are_those_of_their_seeds() -> None:
    seeds = [1, 2, 3, 4] * 8
    alone = {seed: weights(serial(seed=seed)) for seed in set(seeds)}
    with ThreadPoolExecutor(4) as threads:
        for seed, made in zip(seeds, threads.map(lambda seed: weights(serial(seed=seed)), seeds), strict=True):
            assert_equal(made, alone[seed])


def test_calls_in_a_row_are_one_long_call() -> None:
    with serial() as one, serial() as two:
        one.train(1_200)
        while two._trainer._engine is None or engine_of(two).frames < engine_of(one).frames:
            two.train(1)
        assert engine_of(two).frames == engine_of(one).frames
        assert_equal(weights(one), weights(two))


def test_a_call_trains_less_than_one_iteration_too_much(tmp_path: Path) -> None:
    """However much a round of all environments samples; the next call, or a resumed run, begins with what is left."""
    fields: dict[str, Any] = {"workers": 4, "envs": 8, "rollout": 8, "batch_size": 32}  # a round is 256 frames
    with serial(**fields) as one, serial(**fields) as two, serial(**fields) as three:
        one.train(600)
        assert 600 <= engine_of(one).frames < 632
        for more in (40, 1, 60, 1, 1, 250):
            target = engine_of(two).frames + more
            two.train(more)
            assert engine_of(two).balance().exact
            assert target <= engine_of(two).frames < target + 32
        two.save(tmp_path / "half.pt")
        three.load(tmp_path / "half.pt")
        two.train(600 - engine_of(two).frames)
        three.train(600 - engine_of(three).frames)
        assert engine_of(one).frames == engine_of(two).frames == engine_of(three).frames
        assert_equal(weights(one), weights(two))
        assert_equal(weights(one), weights(three))


@pytest.mark.parametrize(
    ("workers", "envs", "fields"),
    [
        (1, 4, {"rollout": 8, "batch_size": 64}),
        (2, 3, {"rollout": 8, "batch_size": 64}),  # slots of 3 columns, batches of 8: split across batches
        (1, 10, {"rollout": 4, "batch_size": 12}),  # one slot feeds several batches
        (3, 2, {"rollout": 16, "batch_size": 32, "num_batches_per_iteration": 3, "ppo_epochs": 2}),
        (2, 4, {"worker_num_splits": 2, "normalize_input": True, "lr_schedule": "linear", "train_for_env_steps": 3_000}),
        (2, 3, {"use_rnn": True, "rnn_type": "gru", "hidden_size": 16}),
        (2, 3, {"normalize_returns": True, "optimizer": "rmsprop", "num_batches_per_iteration": 2, "ppo_epochs": 2}),
        (2, 3, {"lr_schedule": "kl_adaptive_minibatch", "num_batches_per_iteration": 2, "shuffle_minibatches": False}),
        (1, 5, {"use_rnn": True, "rnn_type": "lstm", "hidden_size": 16, "with_vtrace": False}),
        (2, 3, {"wrappers": [{"name": "time-limit", "options": {"max_episode_steps": 9}}, {"name": "frame-stack"}]}),
    ],
)
def test_half_save_load_half_is_the_whole(tmp_path: Path, workers: int, envs: int, fields: dict[str, Any]) -> None:
    with serial(workers=workers, envs=envs, **fields) as whole, serial(workers=workers, envs=envs, **fields) as first:
        first.train(350)
        middle = engine_of(first).frames
        in_flight = engine_of(first).balance().in_flight
        file = first.save(tmp_path / "middle.pt")
        with serial(workers=workers, envs=envs, **fields) as second:
            second.load(file)
            assert engine_of(second).frames == middle
            assert engine_of(second).balance().in_flight == in_flight  # what was on its way came too
            assert engine_of(second).balance().exact
            status = second.train(350)
            assert engine_of(second).balance().exact
            whole.train(350)
            while engine_of(whole).frames < status.frames:
                whole.train(1)
            assert engine_of(whole).frames == status.frames
            assert_equal(weights(whole), weights(second))
            assert engine_of(whole).balance() == engine_of(second).balance()
            assert not torch.equal(*(next(iter(weights(m).values())) for m in (first, second)))


def test_loading_into_a_run_that_has_gone_on(tmp_path: Path) -> None:
    with serial() as model:
        model.train(300)
        file = model.save(tmp_path / "a.pt")
        model.train(300)
        expected = weights(model)
        model.load(file)
        model.train(300)
        assert_equal(weights(model), expected)
        assert engine_of(model).balance().exact


def test_what_is_on_its_way_is_not_too_old_for_a_run_that_has_gone_on(tmp_path: Path) -> None:
    """Full slots came with the checkpoint: by the versions and epochs of a run that has gone on they would be dropped."""
    fields: dict[str, Any] = {"workers": 4, "envs": 8, "rollout": 8, "batch_size": 32, "max_policy_lag": 10}
    with serial(**fields) as model, serial(**fields) as fresh:
        model.train(40)
        file = model.save(tmp_path / "a.pt")
        model.train(900)
        model.set_parameters(model.get_parameters())
        model.load(file)
        fresh.load(file)
        model.train(300)
        fresh.train(300)
        assert_equal(weights(model), weights(fresh))
        assert engine_of(model).statistics.policies[0].lag_max == engine_of(fresh).statistics.policies[0].lag_max
        assert engine_of(model).balance() == engine_of(fresh).balance()


def test_a_disk_that_is_full_for_a_while_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[Path] = []

    def write(path: Path, content: memoryview) -> None:
        tried.append(path)
        if len(tried) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_atomic(path, content)

    monkeypatch.setattr("arl_core.learning.checkpoint.write_atomic", write)
    with serial(experiment="full", train_dir=str(tmp_path), save_every_sec=0.05) as model:
        assert model.train(3_000) == 0
        assert engine_of(model).saves == len(tried) - 1 > 1
    assert "No space left on device" in caplog.text


def test_a_checkpoint_of_other_environments_gives_its_weights(tmp_path: Path) -> None:
    with serial(workers=2, envs=3) as model, serial(workers=1, envs=1) as one, serial(workers=4, envs=4) as other:
        for source, target in ((model, other), (one, model)):
            source.train(300)
            file = source.save(tmp_path / "a.pt")
            target.load(file)
            assert_equal(weights(target), weights(source))
            assert engine_of(target).frames == engine_of(source).frames
            assert target.train(300) == 0
            assert engine_of(target).balance().exact


def test_states_of_other_wrappers_are_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrapped = {"wrappers": [{"name": "time-limit", "options": {"max_episode_steps": 9}}]}
    with serial() as plain, serial(**wrapped) as cut:
        for source, target in ((plain, cut), (cut, plain)):
            source.train(300)
            target.load(source.save(tmp_path / "a.pt"))
            assert target.train(300) == 0
            assert "the checkpoint's environments are not this run's (wrappers, num_workers" in caplog.text
            caplog.clear()
            assert engine_of(target).balance().exact


def test_a_state_that_an_environment_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serial() as model, serial() as other:
        model.train(300)
        file = model.save(tmp_path / "a.pt")

        def refuse(*_: Any) -> None:
            raise KeyError("wind")

        monkeypatch.setattr("arl_core.envs.group.load_env_states", refuse)
        other.load(file)
        with pytest.raises(UserError, match=r"cannot be put back \(KeyError: 'wind'\); with another num_workers they begin"):
            other.train(300)


def test_a_checkpoint_of_a_larger_batch_gives_its_weights(tmp_path: Path) -> None:
    same = {"workers": 2, "envs": 6, "slots_per_group": 4}
    with serial(**same, batch_size=192) as large, serial(**same, batch_size=64) as small:
        while large._trainer._engine is None or engine_of(large).intakes[0].assembler.filled <= 8:
            assert large.train(10**9, lambda values: False) == 1  # one step of every group
        assert engine_of(large).frames == 0  # more has come together than a small batch holds
        file = large.save(tmp_path / "a.pt")
        small.load(file)
        assert_equal(weights(small), weights(large))
        assert small.train(300) == 0
        assert engine_of(small).balance().exact


def test_serial_and_asynchronous_runs_take_each_others_checkpoints(tmp_path: Path) -> None:
    with serial(Bandit) as one, APPO(Bandit, num_workers=1, num_envs_per_worker=4, policy_kwargs=SMALL) as two:
        one.train(200)
        two.load(one.save(tmp_path / "serial.pt"))
        assert_equal(weights(one), weights(two))
        frames = two.train(200).frames
        assert frames >= 400
        assert two._trainer.engine.balance().exact
        one.load(two.save(tmp_path / "asynchronous.pt"))
        assert_equal(weights(one), weights(two))
        assert one.train(200).frames >= frames + 200
        assert engine_of(one).balance().exact


def test_environments_that_cannot_be_saved_begin_anew(tmp_path: Path) -> None:
    with serial(Bandit) as model:
        model.train(200)
        file = model.save(tmp_path / "a.pt")
        with serial(Bandit) as second, serial(Bandit) as third:
            for other in (second, third):
                other.load(file)
                assert_equal(weights(other), weights(model))
                other.train(200)
                assert engine_of(other).balance().exact
            assert_equal(weights(second), weights(third))  # two resumes of one checkpoint are equal


def test_a_run_that_goes_on_sees_other_episodes_than_at_its_beginning(tmp_path: Path) -> None:
    lakes = "gym:FrozenLake-v1"  # cannot be saved; slippery
    with serial(lakes) as model, serial(lakes) as later:
        model.train(64)
        later.load(model.save(tmp_path / "a.pt"))
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        assert engine_of(later).frames == engine_of(model).frames
        assert torch.get_num_threads() == 2, "they are the user's"
        torch.set_num_threads(threads)
        first = [contexts.seed for contexts in engine_of(model)._contexts(0)]
        second = [contexts.seed for contexts in engine_of(later)._contexts(0)]
        assert not set(first) & set(second)
        assert engine_of(later).actor.generator.initial_seed() != engine_of(model).actor.generator.initial_seed()


def first_observations(workers: int, envs: int) -> np.ndarray:
    with serial(workers=workers, envs=envs) as model:
        return np.concatenate([runner.present["obs"] for runner in engine_of(model).runners])


def test_streams_do_not_depend_on_the_number_of_workers() -> None:
    six = first_observations(2, 3)
    assert len(np.unique(six, axis=0)) == 6
    np.testing.assert_array_equal(six, first_observations(1, 6))
    np.testing.assert_array_equal(six, first_observations(6, 1))
    np.testing.assert_array_equal(six, first_observations(2, 6)[:6])


def test_new_weights_drop_what_was_on_its_way() -> None:
    with serial(use_rnn=True, hidden_size=16) as model:
        model.train(300)
        before = engine_of(model).balance()
        state = weights(model)
        version = engine_of(model).learners[0].version
        model.set_parameters({0: {key: value * 0.5 for key, value in state.items()}})
        assert engine_of(model).learners[0].version > version
        after = engine_of(model).balance()
        assert after.exact
        assert after.dropped_epoch + after.in_flight == before.dropped_epoch + before.in_flight
        assert after.trained == before.trained
        assert model.train(300) == 0
        balance = engine_of(model).balance()
        assert balance.exact
        assert balance.dropped_epoch == before.dropped_epoch + before.in_flight


def test_the_callbacks_own_error_is_the_users(tmp_path: Path) -> None:
    def callback(values: Any) -> None:
        raise RuntimeError("mine")

    with serial() as model:
        with pytest.raises(RuntimeError, match="mine"):
            model.train(10**9, callback)
        assert model.train(100) == 0
        assert model.train(10**9, lambda values: False) == 1
        with pytest.raises(UserError, match="no checkpoint"):
            model.load(tmp_path)


def test_memory_learns() -> None:
    with serial(
        Memory, workers=1, envs=16, use_rnn=True, hidden_size=16, rollout=12, batch_size=192, learning_rate=1e-2
    ) as model:
        best = -1.0
        for _ in range(30):
            best = max(best, model.train(2_000).return_mean or -1.0)
            if best > 0.9:
                break
        assert best > 0.9


@pytest.mark.slow
def test_equal_in_another_process(tmp_path: Path) -> None:
    text = """
from arl_core import APPO
m = APPO("gym:CartPole-v1", num_workers=2, num_envs_per_worker=3,
         policy_kwargs={"rollout": 8, "batch_size": 64, "learning_rate": 3e-3, "seed": 4, "serial": True})
m.train(500)
import hashlib
print(hashlib.sha256(b"".join(v.numpy().tobytes() for v in m.get_parameters()[0].values())).hexdigest())
"""
    done = [script(text, tmp_path).stdout.strip() for _ in range(2)]
    assert len(done[0]) == 64
    assert done[0] == done[1]


def test_what_has_no_effect_in_one_process_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arl")
    with small(Bandit, serial=True, niceness=5, inference="central"):
        assert "inference, niceness: no effect in serial mode, which has one process" in caplog.text


def test_a_wrapper_that_ends_vectorised_stepping_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "arl")
    for wrappers, told in (["reward-clip"], 0), (["frame-skip"], 1):
        with small("maze:sample-3x3", serial=True, wrappers=wrappers):
            assert caplog.text.count("wrapper 'frame-skip' has no vector form: maze:sample-3x3 steps single") == told


def test_a_saved_state_may_be_read_only(tmp_path: Path) -> None:
    text = """
import gymnasium, numpy as np
from arl_core import APPO

class Counter(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1, np.float32), {}
    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), 1.0, self.count == 9, False, {}
    def get_state(self):
        return {"count": np.frombuffer(bytes([self.count]), np.uint8)}
    def set_state(self, state):
        self.count = int(state["count"][0])

with APPO(Counter, num_workers=1, num_envs_per_worker=2, policy_kwargs={"serial": True, "rollout": 8, "batch_size": 16}) as m:
    m.train(64)
    m.save("saved")
"""
    done = script(text, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
