"""A run goes on with the plugin, and the version of it, that it was trained with: `arl run --resume` and `arl eval`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from arl_core.interfaces import UserError
from arl_core.registry.provenance import by_itself, saved_run

SMALL = [
    "--serial",
    "--num_workers",
    "1",
    "--num_envs_per_worker",
    "2",
    "--rollout",
    "4",
    "--batch_size",
    "16",
    "--device",
    "cpu",
]
RUN = ["run", "--env", "corridor", "--encoder", "mlp", *SMALL, "--train_for_env_steps", "40", "--experiment", "r"]
RESUME = ["run", "--resume", "--train_dir", "train_dir", "--experiment", "r", "--train_for_env_steps"]
WAS = "train_dir/r was trained with arl-plugin-corridor 0.3.1"


@pytest.fixture(scope="module")
def trained(make_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corridor installed, and a short run on it."""
    fakes = make_fakes(tmp_path_factory.mktemp("trained") / "site")
    fakes.corridor()
    done = fakes.arl(*RUN)
    assert done.returncode == 0, done.stderr
    folder: Path = fakes.folder
    return folder


@pytest.fixture
def site(trained: Path, make_fakes: Any, tmp_path: Path) -> Any:
    """A copy of that folder."""
    shutil.copytree(trained, tmp_path / "site")
    return make_fakes(tmp_path / "site")


def uninstall(fakes: Any) -> None:
    shutil.rmtree(fakes.folder / "arl_plugin_corridor-0.3.1.dist-info")


def other_version(fakes: Any) -> None:
    uninstall(fakes)
    fakes.dist("arl-plugin-corridor", "0.4.0", {"corridor": "arl_plugin_corridor"})


def other_distribution(fakes: Any) -> None:
    uninstall(fakes)
    fakes.corridor("acme-corridor", "2.0")


def renamed_variant(fakes: Any) -> None:
    """A later version in which the environment is gone: the version is the cause to tell."""
    other_version(fakes)
    source = fakes.folder / "arl_plugin_corridor.py"
    source.write_text(source.read_text().replace('"short"', '"brief"'))


@pytest.mark.parametrize("name", ["py:__main__:<lambda>", "py:lab:outer.<locals>.Maze"])
def test_what_no_module_leads_to_is_given_again_in_python(name: str) -> None:
    assert by_itself(name, "env").endswith("Give it again as the script did: env=...")


def test_a_run_stays_what_it_is_where_a_longer_prefix_comes_to_claim_its_historical_name(fakes: Any) -> None:
    fakes.corridor()
    named = ["corridor-short" if word == "corridor" else word for word in RUN]
    assert fakes.arl(*named).returncode == 0
    fakes.module("shop", "")
    fakes.dist("arl-plugin-shop", plugins={"shop": "shop"}, prefixes={"corridor-sh": "shop"})
    assert "environment 'shop'" in fakes.arl("run", *named[1:], "--experiment", "new").stderr
    done = fakes.arl(*RESUME, "80")
    assert done.returncode == 0, done.stderr
    assert json.loads((fakes.folder / "train_dir" / "r" / "config.json").read_text())["env"]["id"] == "corridor:short"


def test_a_configuration_that_is_nested_too_deeply_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match=r"is not a run directory: config.json: RecursionError: "):
        saved_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            other_version,
            f"--resume: {WAS}, but arl-plugin-corridor 0.4.0 is installed: "
            "pip install arl-plugin-corridor==0.3.1, or begin a new run",
        ),
        (
            renamed_variant,
            f"--resume: {WAS}, but arl-plugin-corridor 0.4.0 is installed: "
            "pip install arl-plugin-corridor==0.3.1, or begin a new run",
        ),
        (
            other_distribution,
            f"--resume: {WAS}, but acme-corridor 2.0 provides 'corridor:short' now: install that, or begin a new run",
        ),
        (uninstall, f"{WAS}, which is not installed: install that, or begin a new run"),
    ],
)
def test_another_plugin_does_not_go_on(change: Callable[[Any], None], message: str, site: Any) -> None:
    change(site)
    done = site.arl(*RESUME, "80")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"resuming train_dir/r\nerror: {message}\n"
    assert json.loads((site.folder / "train_dir" / "r" / "summary.json").read_text())["frames"] < 80


def test_a_second_claimant_changes_nothing_for_a_run_that_has_its_plugin(site: Any) -> None:
    site.corridor("acme-corridor", "2.0")
    assert "Pick one" in site.arl("config", "--env", "corridor").stderr
    done = site.arl(*RESUME, "80")
    assert done.returncode == 0, done.stderr
    saved = json.loads((site.folder / "train_dir" / "r" / "config.json").read_text())
    assert (saved["env"]["dist"], saved["env"]["version"]) == ("arl-plugin-corridor", "0.3.1")
    assert evaluated(site).stderr == ""
    other = site.arl(*RESUME, "120", "--env", "acme-corridor::corridor")
    assert other.returncode == 2
    assert f"{WAS}, but acme-corridor 2.0 provides 'corridor:short' now: pip install arl-plugin-corridor==0.3.1" in other.stderr


def evaluated(site: Any, *words: str) -> CompletedProcess[str]:
    done: CompletedProcess[str] = site.arl("eval", "train_dir/r", "--episodes", "2", "--json", *words)
    return done


@pytest.mark.parametrize(
    ("change", "now"), [(other_version, "arl-plugin-corridor 0.4.0"), (other_distribution, "acme-corridor 2.0")]
)
def test_eval_warns_of_another_plugin(change: Callable[[Any], None], now: str, site: Any) -> None:
    change(site)
    done = evaluated(site)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{WAS}; evaluating with {now}\n"
    assert json.loads(done.stdout)["episodes"] == 2


def test_eval_without_the_plugin_is_one_line(site: Any) -> None:
    done = evaluated(site, "--no-plugins")
    setting = "plugins_allow (from --no-plugins)"
    assert done.stderr == f"error: environment 'corridor:short': arl-plugin-corridor is excluded: {setting} does not name it\n"
    assert done.returncode == 2
    uninstall(site)
    done = evaluated(site)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {WAS}, which is not installed: install that, or begin a new run\n"


def test_the_selection_stands_as_saved(site: Any) -> None:
    """Variables that are merely around do not exclude what the run was trained with; what is named now does."""
    done = site.arl(*RESUME, "80", env={"ARL_PLUGINS": ""})
    assert done.returncode == 0, done.stderr
    named = site.arl(*RESUME, "120", "--plugins-block", "arl-plugin-corridor")
    assert named.returncode == 2
    assert "arl-plugin-corridor is excluded by plugins_block (from command line)" in named.stderr
