"""The run directory of a run that is begun in Python."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import psutil
import pytest
from run_support import same, small
from tiny_envs import Bandit, Refusing

from arl_core import APPO, UserError

log = logging.getLogger("arl")


def named(name: str, folder: Path, **fields: Any) -> APPO:
    return small(Bandit, serial=True, experiment=name, train_dir=folder, **fields)


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(folder))]


def test_it_is_that_of_the_command_line(tmp_path: Path) -> None:
    with named("r", tmp_path) as model:
        assert model.train(100) == 0
        assert model.train(100) == 0
    assert {path.name for path in (tmp_path / "r").iterdir()} >= {"config.json", "summary.json", "checkpoints", "tb", "run.log"}
    events = list((tmp_path / "r" / "tb").iterdir())
    assert len(events) == 1
    assert b"returns/mean" in events[0].read_bytes()
    assert open_files(tmp_path) == []


def test_nothing_is_written_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with small(Bandit, serial=True) as model:
        model.train(32)
    assert list(tmp_path.iterdir()) == []


def test_logs_of_two_models_do_not_mix(tmp_path: Path) -> None:
    """Not even where one trains in a callback of the other."""
    with named("a", tmp_path) as one, named("b", tmp_path) as other:

        def inside(_: Any) -> bool:
            log.warning("of b")
            return False

        def outside(_: Any) -> bool:
            log.warning("of a")
            other.train(64, callback=inside)
            log.warning("of a again")
            return False

        one.train(64, callback=outside)
    log.warning("of nobody")
    said = {
        name: [line.split(maxsplit=2)[2] for line in (tmp_path / name / "run.log").read_text().splitlines()] for name in "ab"
    }
    assert said == {"a": ["of a", "of a again"], "b": ["of b"]}


def test_a_level_of_the_users_is_obeyed_and_kept(tmp_path: Path) -> None:
    log.setLevel(logging.INFO)
    try:
        model = named("r", tmp_path)
        assert (log.level, log.handlers) == (logging.INFO, [])
    finally:
        log.setLevel(logging.NOTSET)
    assert "inference local (serial mode)" in (tmp_path / "r" / "run.log").read_text()
    model.close()


@pytest.mark.parametrize("serial", [True, False])
def test_a_model_that_never_trains_leaves_nothing_but_what_others_put_there(
    serial: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refusal = tmp_path / "refuse"
    for number in range(2):
        refusal.touch()
        with small(Refusing, serial=serial, experiment="r", train_dir="runs") as model:
            with pytest.raises(UserError, match="start its server"):
                model.train(100)
            if number == 1:
                (tmp_path / "runs" / "r" / "mine").touch()
        assert [path.name for path in tmp_path.rglob("runs/r/*")] == ["mine"] * number
    with small(Refusing, serial=serial, experiment="r", train_dir="runs") as model:
        with pytest.raises(UserError, match="start its server"):
            model.train(100)
        refusal.unlink()
        assert model.train(100) == 0
    assert {"config.json", "run.log", "summary.json", "mine"} <= {path.name for path in (tmp_path / "runs" / "r").iterdir()}


def test_a_directory_that_holds_a_run_says_what_to_do_in_python(tmp_path: Path) -> None:
    with named("r", tmp_path) as model:
        model.train(100)
        weights = model.get_parameters()[0]
        with pytest.raises(UserError, match=r"writes to .*/r; wait for it, or choose another experiment$"):
            named("r", tmp_path)
    with pytest.raises(UserError, match=r"already holds a run\. Choose another experiment or train_dir; load\(.*/r'\)"):
        named("r", tmp_path)
    with named("s", tmp_path) as model:
        model.load(tmp_path / "r")
        assert same(model.get_parameters()[0], weights)


def test_the_algorithm_is_that_of_the_configuration() -> None:
    model = small(Bandit, algo="a3c")
    assert (model.algo, model.config.algo, APPO.algo) == ("a3c", "a3c", "appo")
