"""`APPO` from Python, call after call of `train`. One run's processes serve the whole module."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from run_support import SMALL, descendants, eventually, give_up, keep, nursery_pids, pids_of, same, small
from tiny_envs import Bandit, Seeded

from arl_core import APPO, Status, UserError
from arl_core.ipc.slots import SlotState

BATCH = SMALL["batch_size"]


@pytest.fixture(scope="module")
def model() -> Iterator[APPO]:
    made = keep(small(workers=2, seed=3))
    yield made
    give_up(made)


def forced(state: dict[str, torch.Tensor], action: int) -> dict[str, torch.Tensor]:
    """Weights whose policy takes `action` whatever it sees."""
    changed = {key: value.clone() for key, value in state.items()}
    changed["actor.head.weight"].zero_()  # rows: two logits, one value
    changed["actor.head.bias"] = torch.tensor([-50.0, 50.0, 0.0] if action else [50.0, -50.0, 0.0])
    return changed


def actions_since(engine: Any) -> NDArray[Any]:
    """The valid actions of the slots that were filled since weights were last set, whichever worker had time for it."""
    arena = engine._arena
    whole = arena["slot.state"][0] != SlotState.FILLING  # the others hold older rows behind their position
    whole &= arena["slot.weights_epoch"][0] == arena["control.weights_epoch"][0]
    actions: NDArray[Any] = arena["actions"][whole][arena["valid"][whole]]
    return actions.ravel()


def test_a_run_that_goes_on_sees_other_episodes_than_at_its_beginning(tmp_path: Path) -> None:
    seeds = []
    for goes_on in (False, False, True):
        with small(Seeded, envs=1) as model:
            if goes_on:
                model.load(tmp_path)
            model.train(100)
            assert model._trainer.episodes is not None
            seeds.append(model._trainer.episodes.metric_means["first"])
            model.save(tmp_path)
    assert seeds[0] == seeds[1] > 0
    assert seeds[2] not in {0, seeds[0]}


def test_checkpoints_in_a_folder_of_the_users_stay(tmp_path: Path) -> None:
    with small(Bandit, serial=True, keep_checkpoints=1) as model:
        written = []
        for _ in range(3):
            model.train(100)
            written.append(model.save(tmp_path))
        assert sorted(tmp_path.iterdir()) == sorted(written)


def test_ten_calls_on_the_same_processes(model: APPO) -> None:
    status = model.train(2_000)
    assert status == 0
    assert status.frames == model._trainer.engine.frames
    pids, environments = pids_of(model), []
    pauses = []
    for _ in range(10):
        before = status.frames
        weights = model.get_parameters()
        model.set_parameters({0: weights[0]})
        status = model.train(500)
        assert status == 0
        assert before + 500 <= status.frames < before + 500 + BATCH
        engine = model._trainer.engine
        balance = engine.balance()
        assert balance.exact, balance
        assert balance.trained == status.frames
        environments.append(balance.produced)
        begin = time.perf_counter()
        assert model.train(0) == 0  # nothing but to resume and to pause
        pauses.append(time.perf_counter() - begin)
        assert pids_of(model) == pids
        assert {process.pid for process in descendants(nursery_pids(model)[0])} == set(pids.values())
    assert environments == sorted(environments)
    assert statistics.median(pauses) < 0.2


def test_nothing_moves_between_calls(model: APPO) -> None:
    model.train(200)
    engine = model._trainer.engine
    before, seconds = engine.balance(), engine.statistics.seconds
    weights = model.get_parameters()[0]
    time.sleep(0.5)
    assert engine.balance() == before
    assert engine.statistics.seconds == seconds  # time between calls is not training time
    assert same(model.get_parameters()[0], weights)


def test_weights_come_back_with_train_and_are_no_alias(model: APPO) -> None:
    before = model.get_parameters()[0]
    kept = {key: value.clone() for key, value in before.items()}
    model.train(200)
    predicted = model._trainer.models[0].state_dict()  # what `predict` plays, before anybody asks for parameters
    assert same(before, kept)
    after = model.get_parameters()[0]
    assert not same(after, kept)
    assert same({key: value.clone() for key, value in predicted.items()}, after)


def test_wrong_weights_change_nothing(model: APPO) -> None:
    model.train(100)
    good = model.get_parameters()[0]
    engine = model._trainer.engine
    version, balance = engine.counts()["optimiser_steps"], engine.balance()
    key = next(iter(good))
    wrong: list[Any] = [
        {0: {k: v + 1 for k, v in good.items() if k != key}},
        {0: {**{k: v + 1 for k, v in good.items()}, "more": torch.zeros(1)}},
        {0: {**{k: v + 1 for k, v in good.items()}, key: torch.zeros(3, 5, 7)}},
        {0: {**{k: v + 1 for k, v in good.items()}, key: torch.full_like(good[key], float("nan"))}},
        {0: {**{k: v + 1 for k, v in good.items()}, key: "text"}},
        {0: {k: v.double() * 1e300 for k, v in good.items()}},
        {1: good},
        {0: good, "1": good},
        {0: torch.nn.Linear(1, 1)},
        {0: None},
        [good],
        {},
        None,
    ]
    for parameters in wrong:
        with pytest.raises(UserError, match=r"set_parameters|weight"):
            model.set_parameters(parameters)
        assert same(model.get_parameters()[0], good)
    assert (engine.counts()["optimiser_steps"], engine.balance()) == (version, balance)


def test_new_weights_act_at_once_and_old_data_is_dropped(model: APPO) -> None:
    model.train(300)
    engine = model._trainer.engine
    in_flight, dropped = engine.balance().in_flight, engine.balance().dropped_epoch
    good, version = model.get_parameters()[0], engine.counts()["optimiser_steps"]
    model.set_parameters({0: forced(good, 1)})
    assert engine.counts()["optimiser_steps"] > version
    assert same(model.get_parameters()[0], forced(good, 1))
    assert {int(a) for a in model.predict(np.random.default_rng(0).normal(size=(50, 4)))[0]} == {1}
    seen: list[float] = []
    model.set_hyperparameters(learning_rate=1e-12)  # so that the policy stays as it was set
    status = model.train(2_000, lambda values: seen.append(values["frames"]))
    balance = engine.balance()
    assert balance.exact
    assert balance.dropped_epoch - dropped >= in_flight  # counted, not trained on
    assert set(actions_since(engine).tolist()) == {1}
    assert status.return_mean is not None
    model.set_hyperparameters(learning_rate=3e-3)
    model.set_parameters({0: good})
    assert same(model.get_parameters()[0], good)


def test_the_shortest_call_shows_losses() -> None:
    with small() as model:
        model.train(1)  # over before the first report is due
        assert {"policy_loss", "value_loss", "grad_norm"} <= model._trainer.snapshot.losses.keys()


@pytest.mark.parametrize("truth", [bool, np.bool_])
def test_the_callback_sees_statistics_and_ends_the_call(model: APPO, truth: Any) -> None:
    seen: list[dict[str, Any]] = []

    def callback(values: Any) -> Any:
        seen.append(dict(values))
        assert len(seen) < 20
        return truth(len(seen) < 3)

    status = model.train(10**9, callback)
    assert status == 1
    assert len(seen) == 3
    assert {"frames", "fps", "return_mean", "length_mean", "episodes", "policy_lag_mean", "losses"} <= seen[-1].keys()
    assert seen[0]["frames"] < seen[-1]["frames"] <= status.frames
    assert status.fps > 0
    assert model._trainer.engine.balance().exact
    assert "interrupted" in repr(status)


def test_a_callback_that_raises_leaves_a_pause(model: APPO) -> None:
    def callback(values: Any) -> None:
        raise LookupError("the user's own")

    with pytest.raises(LookupError, match="own"):
        model.train(10**9, callback)
    engine = model._trainer.engine
    stands = lambda: (lambda a: (time.sleep(0.15), engine.balance() == a)[1])(engine.balance())  # noqa: E731
    assert eventually(stands, 5.0)
    seconds = engine.statistics.seconds
    assert engine.statistics.seconds == seconds
    assert model.train(200) == 0
    assert engine.balance().exact


def test_hyperparameters_reach_the_learner(model: APPO) -> None:
    model.train(100)
    before = model.get_parameters()[0]
    model.set_hyperparameters(learning_rate=1e-12, exploration_loss_coeff=0.5, gamma=0.5)
    assert (model.config.learning_rate, model.config.gamma) == (1e-12, 0.5)
    losses: list[float] = []
    model.train(3_000, lambda values: losses.append(values["losses"].get("learning_rate", 0.0)))
    after = model.get_parameters()[0]
    assert all(torch.allclose(after[key].float(), before[key].float(), atol=1e-6) for key in before)
    model.set_hyperparameters(learning_rate=3e-3, exploration_loss_coeff=0.003, gamma=0.99)
    model.train(1_000)
    assert not same(model.get_parameters()[0], after)
    with pytest.raises(UserError, match="learning_rate"):
        model.set_hyperparameters(learning_rat=1e-3)
    with pytest.raises(UserError, match="num_workers"):
        model.set_hyperparameters(num_workers=3)
    with pytest.raises(UserError, match="gamma"):
        model.set_hyperparameters(gamma=1.5)
    assert model.config.gamma == 0.99


def test_save_and_load(model: APPO, tmp_path: Path) -> None:
    model.train(500)
    weights, frames = model.get_parameters()[0], model._trainer.engine.frames
    file = model.save(tmp_path / "mine.pt")
    assert file == tmp_path / "mine.pt"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pt"]
    in_folder = model.save(tmp_path / "folder")
    assert in_folder.parent == tmp_path / "folder"
    torch.load(file, weights_only=True)
    model.train(500)
    assert not same(model.get_parameters()[0], weights)
    for source in (file, str(in_folder), tmp_path / "folder"):
        version = model._trainer.engine.counts()["optimiser_steps"]
        model.set_parameters({0: source})
        assert model._trainer.engine.counts()["optimiser_steps"] == version + 1  # published once
        assert same(model.get_parameters()[0], weights)
        assert model._trainer.engine.frames == frames
        assert model._trainer.engine.balance().exact
        status = model.train(200)
        assert frames + 200 <= status.frames < frames + 200 + BATCH
        assert model._trainer.engine.balance().exact
    other = small(seed=77)  # never trained: weights now, the rest when it starts
    other.load(file)
    assert same(other.get_parameters()[0], weights)
    other.close()
    balance = model._trainer.engine.balance()
    with pytest.raises(UserError, match="no checkpoint"):
        model.load(tmp_path / "nothing")
    (tmp_path / "noise.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"noise\.pt cannot be read: it is damaged, or no checkpoint of a run$"):
        model.load(tmp_path / "noise.pt")
    torch.save({"learner": {"model": weights}}, tmp_path / "half.pt")
    with pytest.raises(UserError, match=r"half\.pt does not fit"):
        model.load(tmp_path / "half.pt")
    for learner in ({"model": None}, weights[next(iter(weights))], "text", {"model": weights, "optimizer": None}):
        torch.save({"learner": learner}, tmp_path / "odd.pt")
        with pytest.raises(UserError, match=r"odd\.pt does not fit: [^\n]*$"):
            model.load(tmp_path / "odd.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match=r"list\.pt"):
        model.load(tmp_path / "list.pt")
    wide = small(hidden_size=32)
    with pytest.raises(UserError, match="does not fit"):
        wide.load(file)
    assert model._trainer.engine.balance() == balance


ODD_FIELDS: list[tuple[str, Any]] = [
    *((name, value) for name in ("version", "frames") for value in (None, "x", [1], torch.zeros(3), -1, 2**62, math.nan)),
    *(("shuffle", value) for value in (None, "x", torch.zeros(3), torch.zeros(5056, dtype=torch.uint8))),
    *(("learning_rate", value) for value in (None, "x", {}, {"base": "x", "value": 0.1})),
    *(("snapshots", value) for value in (None, {}, {"weights": [torch.zeros(3, dtype=torch.uint8)], "due": 1, "oldest": 0})),
    *(("optimizer", value) for value in (None, {}, {"step": torch.zeros(3), "exp_avg": torch.zeros(3), "exp_avg_sq": None})),
]


def test_a_checkpoint_of_odd_fields_is_told_with_its_name_and_the_run_goes_on(model: APPO, tmp_path: Path) -> None:
    model.train(100)
    state = torch.load(model.save(tmp_path / "good.pt"), weights_only=True)
    moments = state["learner"]["optimizer"]
    cut = {**moments, "exp_avg": moments["exp_avg"][:3]}
    several = {**moments, "step": torch.zeros(3)}
    balance, idle = model._trainer.engine.balance(), small()
    for field, value in [*ODD_FIELDS, ("optimizer", cut), ("optimizer", several)]:
        torch.save({**state, "learner": {**state["learner"], field: value}}, tmp_path / "odd.pt")
        for reader in (model, idle):
            with pytest.raises(UserError, match=r"^checkpoint .*/odd\.pt does not fit: it[^\n]*$"):
                reader.load(tmp_path / "odd.pt")
    idle.close()
    assert model._trainer.engine.balance() == balance
    assert model.train(100) == Status.SUCCESS


def test_saved_environments_of_odd_fields_are_told_with_the_files_name(tmp_path: Path) -> None:
    with small("gym_CartPole-v1", serial=True) as model:
        model.train(100)
        state = torch.load(model.save(tmp_path / "good.pt"), weights_only=True)
        for sampler in ("x", {}, {**state["sampler"], "runners": None}, {**state["sampler"], "actions": "x"}):
            torch.save({**state, "sampler": sampler}, tmp_path / "odd.pt")
            with pytest.raises(UserError, match=r"the environments of checkpoint .*/odd\.pt cannot be put back"):
                model.load(tmp_path / "odd.pt")


@pytest.mark.parametrize("serial", [False, True])
def test_fps_after_a_load_is_that_of_what_was_trained_since(serial: bool, tmp_path: Path) -> None:
    with small(Bandit, serial=serial) as model:
        model.train(1000)
        file = model.save(tmp_path / "early.pt")
        model.train(3000)
        for _ in range(2):
            model.set_parameters({0: file})
            statistics, frames = model._trainer.engine.statistics, model._trainer.frames
            seconds = statistics.seconds
            status = model.train(500)
            assert status.fps == pytest.approx((status.frames - frames) / (statistics.seconds - seconds))
            status = model.train(500)
            assert status.fps == pytest.approx((status.frames - frames) / (statistics.seconds - seconds))


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    with small(Bandit) as model:
        model.train(100)
        pids = pids_of(model)
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot make the folder"):
            model.save(tmp_path / "file" / "x.pt")
        assert model.train(100) == 0
        assert pids_of(model) == pids


def test_evaluate_is_reproducible_and_changes_nothing(model: APPO) -> None:
    model.train(100)
    before = model._trainer.engine.balance()
    first = model.evaluate(episodes=5)
    assert first == model.evaluate(episodes=5)
    assert first["episodes"] == 5
    assert first["return_min"] <= first["return_mean"] <= first["return_max"]
    assert first["length_mean"] == first["return_mean"]  # CartPole: 1 a step
    assert model.evaluate(episodes=5, deterministic=False) == model.evaluate(episodes=5, deterministic=False)
    assert model.evaluate(episodes=20, seed=5, deterministic=False) != model.evaluate(episodes=20, seed=6, deterministic=False)
    many = model.evaluate(episodes=70, per_episode=True)  # more than environments that play at once
    assert many["episodes"] == len(many["returns"]) == len(many["lengths"]) == 70
    assert (many["return_mean"], many["length_mean"]) == (np.mean(many["returns"]), np.mean(many["lengths"]))
    with pytest.raises(UserError, match="episodes"):
        model.evaluate(episodes=0)
    assert model._trainer.engine.balance() == before


def test_runs_of_different_seeds_are_evaluated_on_the_same_episodes() -> None:
    one, other = small(seed=1), small(seed=2)
    assert not same(one.get_parameters()[0], other.get_parameters()[0])
    other.set_parameters(one.get_parameters())
    for arguments in ({}, {"seed": 7}, {"seed": 7, "deterministic": False}):
        assert one.evaluate(episodes=20, **arguments) == other.evaluate(episodes=20, **arguments)
    assert one.evaluate(episodes=20) == one.evaluate(episodes=20, seed=0) != one.evaluate(episodes=20, seed=7)


def test_two_models_in_one_process(model: APPO) -> None:
    model.train(100)
    with small(Bandit, seed=8) as other:
        assert other.train(300) == 0
        assert not set(pids_of(model).values()) & set(pids_of(other).values())
        frames = model._trainer.engine.frames
        other.train(300)
        assert model._trainer.engine.frames == frames
        below = [psutil.Process(pid) for pid in (*nursery_pids(other), *pids_of(other).values())]
    assert not any(process.is_running() for process in below)
    assert model.train(100) == 0  # closing the other touched nothing of this one
    weights = other.get_parameters()[0]  # readable after the end
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
