"""Milestones, the best checkpoint, and evaluation while training goes on."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from run_support import RUN, arl, eventually, pids_of, small
from tiny_envs import Bandit, Slow

from arl_core import UserError
from arl_core.config import RunConfig
from arl_core.learning.checkpoint import checkpoints, load_best, load_file, save_only
from arl_core.models.flat import flatten_module
from arl_core.monitoring.tensorboard import scalars
from arl_core.runtime.engines.statistics import RunStatistics
from arl_core.runtime.evaluate import EVALUATION_INDEX, find_checkpoint
from arl_core.sampling import evaluator


def place(tmp_path: Path) -> dict[str, Any]:
    return {"train_dir": str(tmp_path), "experiment": "r"}


def folder(tmp_path: Path, name: str) -> Path:
    return tmp_path / "r" / "checkpoints" / "p0" / name


def refuse(message: str) -> None:
    raise AssertionError(message)


@pytest.fixture(params=[True, False], ids=["serial", "async"])
def serial(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# --------------------------------------------------------------------------- milestones


def test_milestones_stay_whatever_is_kept_of_the_others(tmp_path: Path, serial: bool) -> None:
    often = {"save_milestones_sec": 0.01, "save_every_sec": 0.01, "keep_checkpoints": 1}
    with small(Bandit, serial=serial, **often, **place(tmp_path)) as model:
        assert eventually(lambda: model.train(500) == 0 and len(checkpoints(folder(tmp_path, "milestones"))) >= 3)
        assert len(checkpoints(folder(tmp_path, ""))) == 1
        milestone = checkpoints(folder(tmp_path, "milestones"))[-1]
        frames = load_file(milestone)["learner"]["frames"]
        model.load(milestone)
        assert model.train(1).frames >= frames


# --------------------------------------------------------------------------- the best


BEST = {"save_best_after": 0, "save_best_every_sec": 0.0, "stats_window": 20}


def best_of(tmp_path: Path) -> dict[str, Any]:
    found = load_best(folder(tmp_path, "best"), refuse)
    assert found is not None
    return found[0]


def test_the_best_is_one_file_with_its_value_and_never_falls(tmp_path: Path, serial: bool) -> None:
    seen: list[float] = []

    def watch(statistics: Any) -> None:
        if statistics["episodes"] >= 20:
            seen.append(statistics["return_mean"])

    with small(Bandit, serial=serial, **BEST, **place(tmp_path)) as model:
        model.train(6_000, callback=watch)
        best = best_of(tmp_path)["best"]
        assert best["metric"] == "return_mean"
        assert best["value"] >= max(seen, default=0.0)
        assert model._trainer.best[0].value == best["value"]
        assert len(checkpoints(folder(tmp_path, "best"))) == 1
        # a policy that does worse from now on is never taken for the best
        model.set_hyperparameters(learning_rate=1e-9)
        worse = {key: torch.zeros_like(value) for key, value in model.get_parameters()[0].items()}
        worse["actor.head.bias"][0] = 5.0
        model.set_parameters({0: worse})
        model.train(4_000)
        assert model.train(100).return_mean < 1.0
        assert best_of(tmp_path)["best"] == best


def test_a_resumed_run_knows_its_best(tmp_path: Path) -> None:
    common = (*RUN, "--env", "gym:CartPole-v1", "--save_best_after", "0", "--save_best_every_sec", "0", "--stats_window", "5")
    assert arl("run", *common, "--train_for_env_steps", "3000", cwd=tmp_path).returncode == 0
    where = tmp_path / "runs" / "r" / "checkpoints" / "p0" / "best"
    first = load_best(where, refuse)
    assert first is not None
    state = dict(first[0])
    state["best"] = {**state["best"], "value": 1e9}  # nothing beats this
    kept = save_only(where, state, version=1, frames=1)
    done = arl("run", "--resume", "--train_dir", "runs", "--experiment", "r", "--train_for_env_steps", "6000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert checkpoints(where) == [kept]
    result = arl("eval", "runs/r", "--episodes", "2", "--json", "--checkpoint", "best", cwd=tmp_path)
    assert json.loads(result.stdout)["checkpoint"] == kept.name
    run_dir = tmp_path / "runs" / "r"
    assert find_checkpoint(run_dir, "latest")[1] == checkpoints(where.parent)[0]
    for which in (kept, where):
        assert find_checkpoint(run_dir, str(which))[1] == kept
    with pytest.raises(UserError, match=r"no file or folder 'bets'; choose best, latest, or a path\. Did you mean 'best'"):
        find_checkpoint(run_dir, "bets")
    kept.unlink()
    with pytest.raises(UserError, match="has no best checkpoint: save_best_metric and save_best_after say when there is one"):
        find_checkpoint(run_dir, "best")


def test_nothing_is_best_before_its_time_or_where_nobody_asks(tmp_path: Path) -> None:
    with small(Bandit, **{**BEST, "save_best_after": 10**6}, **place(tmp_path)) as model:
        model.train(2_000)
    with small(Bandit, **BEST, save_best_metric="", train_dir=str(tmp_path), experiment="s") as model:
        model.train(2_000)
    assert not folder(tmp_path, "best").exists()
    assert not (tmp_path / "s" / "checkpoints" / "p0" / "best").exists()


def test_a_metric_of_the_environment_and_one_that_nobody_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small(Bandit, **BEST, save_best_metric="env/ones", **place(tmp_path)) as model:
        model.train(2_000)
        assert best_of(tmp_path)["best"]["metric"] == "env/ones"  # as in TensorBoard
    with caplog.at_level(logging.WARNING):
        other = {"train_dir": str(tmp_path), "experiment": "s"}
        with small(Bandit, **BEST, save_best_metric="twos", **other) as model:
            model.train(2_000)
    told = [record.message for record in caplog.records if "save_best_metric" in record.message]
    assert told == ["save_best_metric: nobody reports 'twos' so far; there are: return_mean, length_mean, ones"]


# --------------------------------------------------------------------------- evaluation during training


def evaluations(model: Any, frames: int, wanted: int = 1) -> list[dict[str, Any]]:
    """The evaluations of a call of train that goes on until there are so many."""
    seen: list[dict[str, Any]] = []

    def watch(statistics: Any) -> bool:
        found = statistics["evaluation"]
        if found and (not seen or found != seen[-1]):
            seen.append(found)
        return len(seen) < wanted

    deadline = time.monotonic() + 30
    while len(seen) < wanted and time.monotonic() < deadline:
        model.train(frames, callback=watch)
    return seen


def test_weights_are_evaluated_while_they_are_trained(serial: bool) -> None:
    with small(Bandit, serial=serial, eval_every_frames=500, eval_episodes=6, learning_rate=1e-2) as model:
        first, *_, last = evaluations(model, 4_000, 3)
        assert first["episodes"] == 6
        assert first["length_mean"] == 4
        assert 0 < first["frames"] <= last["frames"]
        assert first["version"] < last["version"]
        assert "ones" in last, "what the environment reports"
        engine = model._trainer.engine
        assert engine.balance().exact, "its steps are no frames of the run"
        values = scalars(model._trainer.snapshot, engine.statistics.episodes)
        assert values["eval/return_mean"] == last["return_mean"]
        if not serial:
            process = psutil.Process(pids_of(model)["evaluator-0"])
            assert process.nice() == psutil.Process().nice() + model.config.niceness


def test_an_evaluation_is_that_of_the_frozen_weights(serial: bool) -> None:
    """With a rate of nearly nothing the weights stay as they were: played again by ourselves, the episodes are the same."""
    fields = {"eval_every_frames": 100, "eval_episodes": 7, "learning_rate": 1e-12, "normalize_input": False}
    with small(serial=serial, **fields) as model:
        (result,) = evaluations(model, 1_000)
        recipe = model._trainer.plan.recipe
        network = recipe.build()
        network.load_state_dict(model.get_parameters()[0])
        from arl_core.envs.group import build_group, make_contexts
        from arl_core.sampling.playing import Cast, EpisodesPlay

        group = build_group(model.resolved_env, make_contexts(model.config.seed, evaluator.FIRST_INDEX, 7))
        play = EpisodesPlay(Cast([network]), group, 7, 0, deterministic=True)
        while not play.step():
            pass
        assert play.result.summary()["return_mean"] == pytest.approx(result["return_mean"], abs=1.0)
        assert play.result.lengths
        group.close()


def test_evaluation_does_not_change_what_serial_training_comes_to() -> None:
    weights = []
    for fields in ({}, {"eval_every_frames": 200, "eval_episodes": 3, "save_best_metric": "eval/return_mean"}):
        with small(serial=True, use_rnn=True, **fields) as model:
            model.train(1_500)
            weights.append(model.get_parameters()[0])
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_the_best_of_the_evaluations_holds_the_weights_that_were_evaluated(
    tmp_path: Path, serial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"eval_every_frames": 300, "eval_episodes": 5, "save_best_metric": "eval/return_mean", "learning_rate": 3e-3}
    fields["save_best_every_sec"] = 1000  # an evaluation is judged as it ends: the next one takes the place of its weights
    earned: dict[int, tuple[float, Any]] = {}
    take = RunStatistics.take

    def noting(self: RunStatistics, name: str, kind: str, content: Any) -> Any:
        if kind == "evaluation":
            weights = model._trainer.engine._arena["weights.evaluated"][0].copy()
            earned[content["frames"]] = (content["return_mean"], weights)
        return take(self, name, kind, content)

    monkeypatch.setattr(RunStatistics, "take", noting)
    with small(Bandit, serial=serial, **{**BEST, **fields}, **place(tmp_path)) as model:
        evaluations(model, 3_000, 3)
        model.train(1)
        state = best_of(tmp_path)
        value, weights = earned[state["best"]["frames"]]
        assert state["best"]["value"] == value == max(each for each, _ in earned.values())
        network = model._trainer.plan.recipe.build()
        flatten_module(network).read_from(torch.from_numpy(weights))
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, state["learner"]["model"][key]), key
        model.load(folder(tmp_path, "best"))


class Brief(Slow):
    def __init__(self) -> None:
        super().__init__(short=True)


def test_an_evaluation_under_way_at_the_end_counts(tmp_path: Path) -> None:
    """Training has 0.5 s left when it begins, or less; it takes 1.5 s."""
    fields = {"eval_every_frames": 2_500, "eval_episodes": 1_500, "save_best_metric": "eval/return_mean", **place(tmp_path)}
    with small(Brief, save_best_after=0, **fields) as model:
        assert model.train(3_000) == 0
        found = model._trainer.engine.statistics.evaluation
        assert found["frames"] >= 2_500
        assert found["episodes"] == 1_500
        assert json.loads((tmp_path / "r" / "summary.json").read_text())["evaluation"] == found
        assert best_of(tmp_path)["best"]["frames"] == found["frames"]


def test_a_whole_run_waits_longer_than_it_has_trained() -> None:
    """As `arl run`, after which nothing goes on with an evaluation."""
    with small(Brief, eval_every_frames=500, eval_episodes=3_000) as model:
        assert model._trainer.train(1_000) == 0
        assert model._trainer.engine.statistics.evaluation["episodes"] == 3_000
        assert model._trainer.snapshot.seconds < model._trainer.engine.statistics.evaluation["elapsed_s"]


def test_an_evaluation_that_does_not_end_is_waited_for_as_long_as_was_trained(caplog: pytest.LogCaptureFixture) -> None:
    with small(Slow, eval_every_frames=100) as model:
        begin = time.monotonic()
        assert model.train(1, callback=lambda _: False) == 1  # processes have started
        starting_s, begin = time.monotonic() - begin, time.monotonic()
        assert model.train(1_000) == 0
        trained_s = model._trainer.snapshot.seconds
        assert model._trainer.engine._evaluating
        assert trained_s < time.monotonic() - begin < 2 * trained_s + starting_s + 5.0
        assert trained_s < 1.5 or all(text in caplog.text for text in ("waiting for the evaluation", "has not ended"))
        begin = time.monotonic()
        assert model.train(10**6, callback=lambda statistics: statistics["seconds"] < trained_s + 3.0) == 1
        assert time.monotonic() - begin < 5.0, "who ends a call waits for nothing"


def test_an_evaluator_that_dies_is_replaced() -> None:
    with small(Bandit, eval_every_frames=300, eval_episodes=4) as model:
        evaluations(model, 1_000)
        psutil.Process(pids_of(model)["evaluator-0"]).kill()
        before = model._trainer.engine.statistics.evaluation["version"]
        assert eventually(lambda: model.train(500) == 0 and model._trainer.engine.statistics.evaluation["version"] > before)


def test_evaluations_have_streams_of_their_own() -> None:
    assert evaluator.FIRST_INDEX + evaluator.MAX_ROWS < EVALUATION_INDEX
    with pytest.raises(ValueError, match="save_best_metric eval/return_mean needs eval_every_sec or eval_every_frames"):
        RunConfig(save_best_metric="eval/return_mean")
    with pytest.raises(UserError, match="eval_episodes"):
        small(Bandit, eval_episodes=0)
