from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from arl_core.cli.request import Request, parse_request, resolve_request
from arl_core.cli.resume import find_saved_run, read_saved_run
from arl_core.config import ResolvedConfig
from arl_core.interfaces import UserError


def save(train_dir: Path, name: str, env: str, age_s: float = 0.0, **changes: Any) -> Path:
    """A run directory as a run writes it."""
    from arl_core.config import Layer
    from arl_core.envs.make import resolved_to_json
    from arl_core.registry import resolve_run

    config, resolved = resolve_run(Layer("command line", {"env": env, **changes}), environ={})
    folder = train_dir / name
    folder.mkdir(parents=True)
    data = {
        "config": config.config.model_dump(mode="json"),
        "origins": dict(config.origins),
        "env": resolved_to_json(resolved),
    }
    file = folder / "config.json"
    file.write_text(json.dumps(data))
    time_s = file.stat().st_mtime - age_s
    os.utime(file, (time_s, time_s))
    return file


def resumed(*words: str) -> tuple[Request, ResolvedConfig]:
    request = parse_request(["--resume", *words], switches=("resume",))
    saved = find_saved_run(request)
    config, env = resolve_request(request, saved.layer)
    saved.provenance.check_same(env)
    return request, config


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    save(tmp_path, "first", "gym:CartPole-v1", age_s=20, gamma=0.5, env_options={"sutton_barto_reward": True})
    save(tmp_path, "second", "gym:Acrobot-v1", age_s=10, gamma=0.6)
    return tmp_path


def test_saved_values_stand_and_named_ones_change(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARL_GAMMA", "0.1")
    _, config = resumed("--train_dir", str(runs), "--experiment", "first", "--learning-rate", "0.125")
    assert (config.config.gamma, config.origin("gamma")) == (0.5, "saved run")
    assert (config.config.learning_rate, config.origin("learning_rate")) == (0.125, "command line")
    assert config.config.env == "gym:CartPole-v1"
    assert config.config.env_options == {"sutton_barto_reward": True}
    assert (config.config.train_dir, config.config.experiment) == (str(runs), "first")


def test_options_of_the_saved_environment_may_be_named(runs: Path) -> None:
    words = ["--train_dir", str(runs), "--experiment", "first", "--gym.sutton-barto-reward", "false"]
    assert resumed(*words)[1].config.env_options == {"sutton_barto_reward": False}


@pytest.mark.parametrize(("words", "experiment"), [([], "second"), (["--env", "gym_CartPole-v1"], "first")])
def test_the_newest_run_is_taken(words: list[str], experiment: str, runs: Path) -> None:
    assert resumed("--train_dir", str(runs), *words)[1].config.experiment == experiment


def test_a_moved_run_is_resumed_where_it_is(runs: Path) -> None:
    (runs / "first").rename(runs / "moved")
    config = resumed("--train_dir", str(runs), "--experiment", "moved")[1].config
    assert (config.train_dir, config.experiment) == (str(runs), "moved")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experiment", "frist"], "--resume: no run 'frist' in {runs}. Did you mean 'first'?"),
        (
            ["--env", "gym:Pendulum-v1"],
            "--resume: no run of 'gym:Pendulum-v1' in {runs}; name one with --train_dir and --experiment",
        ),
        (
            ["--env", "gym:Acrobot-v1", "--experiment", "first", "--env_options", "{}"],
            "environment 'gym:Acrobot-v1' takes no option 'sutton_barto_reward'. It takes: render_mode",
        ),
        (
            ["--env", "gym:Pendulum-v1", "--experiment", "second"],
            "--resume: {runs}/second was trained on 'gym:Acrobot-v1', not on 'gym:Pendulum-v1': begin a new run",
        ),
    ],
)
def test_mistakes(words: list[str], message: str, runs: Path) -> None:
    with pytest.raises(UserError) as caught:
        resumed("--train_dir", str(runs), *words)
    assert str(caught.value) == message.format(runs=runs)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {}, "env": {"id": "x"}}', '{"config": 3, "env": {}}'])
def test_what_is_no_configuration_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"is not a run directory: config\.json: "):
        read_saved_run(file)


def test_a_saved_run_executes_nothing_that_it_names(tmp_path: Path) -> None:
    file = save(tmp_path, "run", "gym:CartPole-v1")
    data = json.loads(file.read_text())
    data["config"].update(env="py:os:system", env_options={"command": f"touch {tmp_path}/touched"})
    data["env"].update(id="py:os:system")
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match="saved run: a file alone may not name code to run, such as 'py:os:system'"):
        resumed("--train_dir", str(tmp_path))
    assert not (tmp_path / "touched").exists()
