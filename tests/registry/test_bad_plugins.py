"""The plugins of tests/bad_plugins, each with one fault: each breaks only itself, and is told with what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from arl_core import __version__

FOLDER = Path(__file__).parents[1] / "bad_plugins"
ALL = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def tail(kind: str) -> str:
    return f"\n  Other environments still work. Details: arl plugins check arl-bad-{kind.replace('_', '-')}"


IMPORT = "environment '{0}': arl-bad-{0} 1.0 failed to import (arl_bad_{1}): "
INVALID = "environment '{0}': arl-bad-{0} 1.0 is not a valid plugin (arl_bad_{1}): "
NEWER = "environment '{}': needs a newer arl-core: arl-bad-newer-api 1.0 is written for plugin API v2; pip install -U arl-core"
OTHER = f"asks for arl-core<99,>=98.1, but arl-core {__version__} is installed: pip install -U arl-core"

# what is named -> what is told, up to what the machine adds
TOLD = {
    "import-error": IMPORT.format("import-error", "import_error")
    + "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    + tail("import_error"),
    "exits": IMPORT.format("exits", "exits") + "SystemExit: no licence found" + tail("exits"),
    "half-registered": INVALID.format("half-registered", "half_registered")
    + "PluginValidationError: unknown hook 'arl_worlds' in plugin <module 'arl_bad_half_registered' ",
    "misspelt-hook": INVALID.format("misspelt-hook", "misspelt_hook")
    + "no hook 'arl_enviroments'. Did you mean 'arl_environments'?"
    + tail("misspelt_hook"),
    "wrong-signature": INVALID.format("wrong-signature", "wrong_signature")
    + "hook 'arl_param_overrides' has no argument 'algorithm'. Did you mean 'algo'?"
    + tail("wrong_signature"),
    "twin": "'twin' is provided by arl-bad-twin-one 1.0 and arl-bad-twin-two 1.0. Pick one: --env arl-bad-twin-one::twin",
    "arl-bad-claims-core::gym": "environment 'gym': arl-bad-claims-core 1.0 failed to import (arl_bad_claims_core): ",
    "unpicklable-maker": "arl-bad-unpicklable-maker 1.0: the maker of EnvSpec 'v0' is <function ",
    "newer-api": NEWER.format("newer-api"),
    "newer_world": NEWER.format("newer_world"),
    "stale-entry-point": "environment 'stale-entry-point': arl-bad-stale-entry-point 1.0 failed to import "
    "(arl_bad_moved_away.plugin): ModuleNotFoundError: No module named 'arl_bad_moved_away'\n"
    "  Its entry point is stale: reinstall it (pip install -e . in its folder). Other environments still work. "
    "Details: arl plugins check arl-bad-stale-entry-point",
    "incompatible": f"environment 'incompatible': arl-bad-incompatible 1.0 {OTHER}",
    "incompatible_world:big": f"environment 'incompatible_world:big': arl-bad-incompatible 1.0 {OTHER}",
}  # fmt: skip
STATUS = {"duplicate_family": "conflict", "claims_core": "conflict", "newer_api": "newer API", "incompatible": "incompatible"}

COMMANDS = """
import contextlib, io, sys
from arl_core.cli.main import main
result = {}
for name in %r:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["run", "--env", name])
    result[name] = [code, out.getvalue(), err.getvalue()]
"""


def installed(fakes: Any, *folders: str) -> dict[str, str]:
    """Variables of a process in which these plugins, and arl, are installed."""
    return {
        "PYTHONPATH": os.pathsep.join([*(str(FOLDER / name) for name in folders), str(fakes.folder), str(FOLDER.parents[1])])
    }


@pytest.fixture(scope="module")
def told(make_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `arl run` with each name says, one after the other in one process with all of them installed."""
    fakes = make_fakes(tmp_path_factory.mktemp("bad") / "site")
    script = f"import json\n{COMMANDS % [*TOLD]}\nprint(json.dumps(result))"
    done = fakes.run("-c", script, env=installed(fakes, *ALL))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", TOLD)
def test_naming_it_tells_who_what_and_what_to_do(name: str, told: dict[str, Any]) -> None:
    code, out, err = told[name]
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {TOLD[name]}")
    lines = err.splitlines()
    assert len(lines) <= 2
    assert all(line.startswith("  ") for line in lines[1:])
    assert any(cure in err for cure in ("arl plugins check", "pip install", "Pick one"))


@pytest.mark.parametrize("kind", ALL)
def test_listing_it_shows_its_status_and_imports_nothing(kind: str, fakes: Any) -> None:
    done = fakes.arl("plugins", "list", "--json", env=installed(fakes, kind))
    assert (done.returncode, done.stderr) == (0, "")
    records = {r["dist"]: r["status"] for r in json.loads(done.stdout) if r["dist"].startswith("arl-bad-")}
    assert set(records.values()) == {STATUS.get(kind, "found")}
    assert len(records) == (2 if kind == "duplicate_family" else 1)


def test_with_all_of_them_the_list_says_what_is_wrong_and_what_to_do(fakes: Any) -> None:
    done = fakes.arl("plugins", "list", env=installed(fakes, *ALL))
    assert (done.returncode, done.stderr) == (0, "")
    table, _, notes = done.stdout.partition("\n\n")
    assert "newer-api          arl-bad-newer-api          1.0      newer API     arl_bad_newer_api" in table
    assert "arl-bad-claims-core 1.0 provides 'gym', which arl-core reserves\n" in notes
    assert notes.endswith("All others still work. Details: arl plugins show NAME, arl plugins check NAME\n")
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_with_all_of_them_cartpole_trains(fakes: Any) -> None:
    words = ["--env", "gym:CartPole-v1", "--serial", "--num_workers", "1", "--num_envs_per_worker", "4", "--rollout", "8"]
    words += ["--batch_size", "64", "--device", "cpu", "--train_for_env_steps", "300", "--experiment", "r"]
    done = fakes.arl("run", *words, env=installed(fakes, *ALL))
    assert done.returncode == 0, done.stderr
    assert json.loads((fakes.folder / "train_dir" / "r" / "summary.json").read_text())["frames"] >= 300


def test_a_failed_registration_is_rolled_back(fakes: Any) -> None:
    """The good hook before the wrong one must not stay registered."""
    fakes.corridor()
    script = """
import json
from arl_core.interfaces import UserError
from arl_core.registry import loading, resolve_env
from arl_core.registry.catalog import encoder_maker
try:
    resolve_env("half-registered")
except UserError:
    encoder_maker("corridor/onehot"), encoder_maker("mlp")
    import arl_bad_half_registered as module
    names = [name for name, _ in loading._manager().list_name_plugin()]
    print(json.dumps([module.calls, names, len(loading._manager().hook.arl_encoders.get_hookimpls())]))
"""
    done = fakes.run("-c", script, env=installed(fakes, "half_registered"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], ["arl-plugin-corridor:corridor", "arl-core:gym"], 2]


def test_a_hook_module_that_imports_torch_costs_only_those_who_name_it(fakes: Any) -> None:
    script = """
import sys
from arl_core.registry import resolve_env
from arl_core.registry.discovery import plugin_records
resolve_env("gym:CartPole-v1")
before = "torch" in sys.modules
print(before, resolve_env("imports-torch").id, "torch" in sys.modules)
"""
    done = fakes.run("-c", script, env=installed(fakes, *ALL))
    assert done.stdout == "False imports-torch:v0 True\n", done.stderr
