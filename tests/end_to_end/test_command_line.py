"""`arl run` and `arl eval` as a user types them."""

from __future__ import annotations

import json
import shlex
import struct
import zlib
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from run_support import HERE, RUN, arl, arl_apart

from arl_core import UserError, load_policy
from arl_core.cli.main import main
from arl_core.learning.checkpoint import checkpoints, load_file

NAMED = ("--env", "py:tiny_envs:recorded")
DRAWN = ("--env", "py:tiny_envs:Drawn")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = arl_apart("run", *NAMED, *RUN, "--train_for_env_steps", "3000", "--seed", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "See it play: arl eval runs/r --env py:tiny_envs:recorded" in done.stdout
    return folder / "runs" / "r"


def test_the_run_directory(run_dir: Path) -> None:
    assert {"config.json", "summary.json", "run.log", "checkpoints", "tb"} <= {path.name for path in run_dir.iterdir()}
    assert not [path for path in run_dir.rglob("*") if path.suffix == ".tmp"]
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["status"] == "success"
    assert 3000 <= summary["frames"] < 3064
    keys = {"fps", "seconds", "episodes", "return_mean", "length_mean", "policy_lag_mean", "inference", "version", "losses"}
    assert keys <= summary.keys()
    assert summary["env_metrics"]["episode.l"] == 4
    assert summary["frames_sampled"] >= summary["frames"] + sum(summary["dropped_frames"].values())
    config = json.loads((run_dir / "config.json").read_text())
    assert config["config"]["seed"] == 3
    assert config["origins"]["seed"] == "command line"
    assert config["env"]["id"] == "py:tiny_envs:recorded"
    newest = checkpoints(run_dir / "checkpoints" / "p0")[0]
    assert load_file(newest)["learner"]["frames"] == summary["frames"]
    assert "saved" in (run_dir / "run.log").read_text()


def test_the_event_file_has_what_the_environment_reported(run_dir: Path) -> None:
    events = [path for path in (run_dir / "tb").rglob("*") if "tfevents" in path.name]
    assert events
    content = b"".join(path.read_bytes() for path in events)
    assert b"episode.r" in content
    assert b"ones" in content


def test_eval(run_dir: Path, tmp_path: Path) -> None:
    done = arl_apart("eval", str(run_dir), *NAMED, "--episodes", "4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    keys = {"env", "checkpoint", "episodes", "return_mean", "return_std", "return_min", "return_max", "length_mean"}
    assert keys <= result.keys()
    assert result["episodes"] == 4
    assert result["length_mean"] == 4
    failed = arl("eval", str(run_dir), *NAMED, "--picture", "x.png", cwd=tmp_path)
    assert failed.returncode == 2
    assert "cannot draw" in failed.stderr
    assert not (tmp_path / "x.png").exists()


def test_eval_names_the_environment_that_fails(tmp_path: Path) -> None:
    named = ("--env", "py:tiny_envs:Fragile")
    assert arl("run", *named, *RUN, "--train_for_env_steps", "100", cwd=tmp_path).returncode == 0
    (tmp_path / "broken").touch()
    failed = arl("eval", "runs/r", *named, cwd=tmp_path)
    assert failed.returncode == 1
    *origin, last = failed.stderr.splitlines()
    assert last.startswith("error: environment ")
    assert last.endswith("failed in step, 0 steps into its episode: ValueError: no such lever")
    assert any("raise ValueError" in line for line in origin), "the environment's own traceback"
    assert not any("evaluate_run" in line for line in origin), "not ours"


def test_eval_with_other_options(tmp_path: Path) -> None:
    done = arl("run", "--env", "maze:random-3x3", *RUN, "--serial", "--train_for_env_steps", "500", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    play = ("eval", "runs/r", "--episodes", "2", "--no-deterministic", "--json")
    short = arl(*play, "--maze.max-steps", "2", cwd=tmp_path)
    assert json.loads(short.stdout)["length_mean"] == 2, short.stderr
    for words, told in (
        (("--maze.max-stepz", "2"), "error: no option 'maze.max_stepz'. Did you mean 'maze.max_steps'?\n"),
        (("--nasim.x", "2"), "error: --nasim.x: the environment is 'maze:random-3x3', its options are written --maze.NAME\n"),
    ):
        failed = arl(*play, *words, cwd=tmp_path)
        assert (failed.returncode, failed.stderr) == (2, told)
    policy = load_policy(tmp_path / "runs" / "r", env_options={"max_steps": 3})
    assert policy.action_space == gymnasium.spaces.Discrete(4)
    with pytest.raises(UserError, match=r"Did you mean 'maze\.size'"):
        load_policy(tmp_path / "runs" / "r", env_options={"sise": 3})


@pytest.mark.parametrize("learner", [{"model": None}, torch.zeros(3), "text", {"model": {"a": torch.zeros(3), "b": 1}}])
def test_eval_of_an_odd_checkpoint_is_one_line(
    learner: Any, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    torch.save({"learner": learner}, tmp_path / "odd.pt")
    assert main(["eval", str(run_dir), *NAMED, "--checkpoint", str(tmp_path / "odd.pt")]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {tmp_path}/odd.pt does not fit the network of {run_dir}/config.json: ")
    assert errors.count("\n") == 1


def test_eval_imports_no_code_that_only_a_file_names(run_dir: Path, tmp_path: Path) -> None:
    unnamed = arl("eval", str(run_dir), cwd=tmp_path)
    assert (unnamed.returncode, unnamed.stdout) == (2, "")
    assert (
        "a file alone may not name code to run, such as 'py:tiny_envs:recorded'. Name it yourself: --env py:" in unnamed.stderr
    )
    other = arl("eval", str(run_dir), *DRAWN, cwd=tmp_path)
    assert other.returncode == 2
    assert "was trained on 'py:tiny_envs:recorded', not on 'py:tiny_envs:Drawn'" in other.stderr


def test_resume_goes_on(run_dir: Path) -> None:
    folder = run_dir.parents[1]
    again = arl("run", *NAMED, *RUN, cwd=folder)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert again.stderr.count("\n") <= 2
    before = json.loads((run_dir / "summary.json").read_text())
    where = ("--train_dir", "runs", "--experiment", "r")
    done = arl_apart("run", "--resume", *NAMED, *where, "--train_for_env_steps", "4500", cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = json.loads((run_dir / "summary.json").read_text())
    assert 4500 <= summary["frames"] < 4564
    assert json.loads((run_dir / "config.json").read_text())["config"]["seed"] == 3
    assert before["frames"] < 4500
    for counted in ("seconds", "episodes"):
        assert summary[counted] > before[counted], "they go on"
    assert summary["episodes"] == sum(policy["episodes"] for policy in summary["policies"])
    assert summary["fps"] == pytest.approx(summary["frames"] / summary["seconds"])
    assert "resuming from" in done.stdout + done.stderr
    config = (run_dir / "config.json").read_bytes()
    wider = arl("run", "--resume", *NAMED, *where, "--hidden_size", "32", cwd=folder)
    assert wider.returncode == 2, wider.stderr
    assert "does not fit" in wider.stderr
    assert "Traceback" not in wider.stderr
    assert json.loads((run_dir / "summary.json").read_text()) == summary
    assert (run_dir / "config.json").read_bytes() == config  # what was refused has not become the run's


@pytest.mark.slow
def test_serial_run_and_picture(tmp_path: Path) -> None:
    done = arl("run", *DRAWN, *RUN, "--serial", "--train_for_env_steps", "300", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = arl("eval", "runs/r", *DRAWN, "--episodes", "2", "--picture", "x.png", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    content = (tmp_path / "x.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (8, 6)  # width, height
    body = content[content.index(b"IDAT") + 4 :]
    line = zlib.decompressobj().decompress(body)[: 1 + 8 * 3]
    assert line == bytes([0, *([0, 200, 0] * 8)])  # the last step of an episode of four
    failed = arl("eval", "runs/r", *DRAWN, "--episodes", "1", "--picture", "no/such/x.png", cwd=tmp_path)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1), failed.stderr
    assert "cannot write the picture" in failed.stderr


@pytest.mark.parametrize(
    "words", [("--device", "cuda:99"), ("--encoder", "nature"), ("--model", "nobody/none"), ("--wrappers", "mask-from-info")]
)
def test_a_mistake_leaves_no_directory(words: tuple[str, ...], tmp_path: Path) -> None:
    for name in ((), ("--experiment", "x")):
        done = arl("run", *NAMED, "--train_dir", "runs", *name, *words, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert not list(tmp_path.rglob("*/*")), "nothing but train_dir itself"


UNFIT = """
import os
import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv


class Unfit(CartPoleEnv):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        if os.path.exists("reward"):
            reward = float("nan")
        if os.path.exists("observation"):
            observation = np.full(4, np.inf, np.float32)
        return observation, reward, *rest


class Outside(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 7 if os.path.exists("class") else 0, 1.0, bool(self.np_random.random() < 0.1), False, {}
"""


@pytest.mark.parametrize(
    ("what", "env", "told"),
    [
        ("reward", "Unfit", "environment 0 of the evaluation gave a reward that is not finite (nan), 0 steps into its episode"),
        ("observation", "Unfit", "environment 0 of the evaluation gave an observation 'obs' that is not finite (inf), "),
        (
            "class",
            "Outside",
            "an environment of the evaluation broke its contract: observation 'obs' is 7, its space has 0 to 2",
        ),
    ],
)
def test_an_evaluation_refuses_what_training_refuses(what: str, env: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "unfit.py").write_text(UNFIT)
    named = ("--env", f"py:unfit:{env}")
    assert arl_apart("run", *named, *RUN, "--serial", "--train_for_env_steps", "100", cwd=tmp_path).returncode == 0
    (tmp_path / what).touch()
    failed = arl_apart("eval", "runs/r", *named, "--json", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"error: {told}")
    assert failed.stderr.count("\n") == 1


STOPPING = """
import os, signal
from gymnasium.envs.classic_control import CartPoleEnv


class Stopping(CartPoleEnv):
    def step(self, action):
        if not os.path.exists("stopped"):
            open("stopped", "w").close()
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(action)
"""


def test_the_commands_that_a_run_tells_at_its_end_name_all_of_ones_own_code(tmp_path: Path) -> None:
    parts = (Path(HERE) / "own_parts.py").read_text()
    (tmp_path / "parts_of_mine.py").write_text(parts + STOPPING)
    losses = '[{"name": "py:parts_of_mine:Shrink", "options": {"weight": 0.2}}]'
    own = ("--env", "py:parts_of_mine:Stopping", "--encoder", "py:parts_of_mine:Net", "--losses", losses)
    stopped = arl_apart("run", *own, *RUN, "--serial", "--train_for_env_steps", "600", cwd=tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    again = shlex.split(stopped.stdout.rpartition("go on with: ")[2])
    ended = arl_apart(*again[1:], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    see = shlex.split(ended.stdout.rpartition("See it play: ")[2])
    assert see[-4:] == ["--env", "py:parts_of_mine:Stopping", "--encoder", "py:parts_of_mine:Net"]
    assert arl_apart(*see[1:], "--episodes", "2", cwd=tmp_path).returncode == 0
