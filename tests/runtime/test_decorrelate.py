"""Runs whose environments play before their first frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_support import pids_of, small
from tiny_envs import Bandit

from arl_core import APPO, UserError
from arl_core.config import Layer, merge_layers
from arl_core.runtime.engines.serial_engine import SerialEngine


def phases(model: APPO) -> set[float]:
    """Where in their episodes the environments of the first group stand."""
    engine = model._trainer.engine
    assert isinstance(engine, SerialEngine)
    return {round(float(age), 2) for age in engine.runners[0].present["obs"][:, 1]}


def test_serial_runs_are_reproducible_and_only_whole_episodes_are_reported() -> None:
    fields = {"serial": True, "envs": 8, "rollout": 8, "decorrelate_steps": 9}
    with (
        small(Bandit, **fields) as one,
        small(Bandit, **fields) as two,
        small(Bandit, **{**fields, "decorrelate_steps": 0}) as plain,
    ):
        for model in (one, two, plain):
            assert model.train(400) == 0
            assert model._trainer.engine.balance().exact
        for key, value in one.get_parameters()[0].items():
            assert torch.equal(value, two.get_parameters()[0][key])
        assert len(phases(one)) > 2
        assert len(phases(plain)) == 1
        for model in (one, plain):
            statistics = model._trainer.engine.statistics.episodes
            assert statistics.length_mean == 4, "one that began with random steps would seem shorter"


@pytest.mark.parametrize("frames", [0, 300])
def test_a_resumed_serial_run_plays_if_it_had_not_and_does_not_play_again(frames: int, tmp_path: Path) -> None:
    fields = {"serial": True, "decorrelate_steps": 20}
    with small(**fields) as one, small(**fields) as two:
        one.train(frames)
        two.load(one.save(tmp_path / "a.pt"))
        for model in (one, two):
            model.train(300)
        for key, value in one.get_parameters()[0].items():
            assert torch.equal(value, two.get_parameters()[0][key])


def test_workers_play_and_so_do_those_that_replace_them() -> None:
    with small(Bandit, envs=8, inference="central", decorrelate_steps=9) as model:
        assert model.train(500) == 0
        engine = model._trainer.engine
        assert engine.balance().exact
        valid = engine._arena["valid"]
        assert (np.ptp(valid.sum(-1), -1) < 8).any(), "resets do not fall together"
        assert engine.statistics.episodes.length_mean == 4
        import psutil

        psutil.Process(pids_of(model)["rollout-0"]).kill()
        assert model.train(500) == 0
        assert engine.statistics.episodes.length_mean == 4


@pytest.mark.parametrize("old", ["decorrelate_experience_max_seconds", "decorrelate_envs_on_one_worker"])
def test_the_old_names_lead_to_the_new_one(old: str) -> None:
    with pytest.raises(UserError, match=f"'{old}' is not an option here: .*decorrelate_steps"):
        merge_layers([Layer("command line", {old: 10})])
