"""A plugin from elsewhere, from `arl plugins new` to its removal, in an environment that has only wheels."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_venvs import ROOT, Venv

STATED_RETURN = 0.9
TRAINING_S = 20.0

pytestmark = pytest.mark.slow


def test_a_new_plugin_from_its_writing_to_its_removal(make_venv: Callable[..., Venv], tmp_path: Path) -> None:
    venv = make_venv("arl-core")
    venv.succeed("arl", "plugins", "new", "demo", cwd=tmp_path)
    project = tmp_path / "arl-plugin-demo"
    venv.succeed("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "wheels", project, cwd=tmp_path)
    venv.succeed(
        "pip", "install", "--quiet", "--no-index", "--find-links", tmp_path / "wheels", "arl-plugin-demo", cwd=tmp_path
    )
    assert re.search(r"^demo +arl-plugin-demo +0\.1\.0 +found", venv.succeed("arl", "plugins", "list", cwd=tmp_path), re.M)

    learns(venv, tmp_path)
    checked = json.loads(venv.succeed("arl", "plugins", "check", "demo", "--json", cwd=tmp_path))
    assert {check["outcome"] for plugin in checked for check in plugin["checks"]} == {"ok", "skip"}
    assert [note for plugin in checked for check in plugin["checks"] for note in check["notes"]] == []
    out = venv.succeed("python", "-m", "pytest", "-q", "--no-header", cwd=project)
    assert "passed" in out
    assert "failed" not in out

    venv.succeed("pip", "uninstall", "--quiet", "--yes", "arl-plugin-demo", cwd=tmp_path)
    done = venv.run("arl", "run", "--env", "demo", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("error: no environment 'demo'.")


def learns(venv: Venv, folder: Path) -> None:
    began = time.monotonic()
    venv.succeed("arl", "run", "--env", "demo", "--experiment", "r", cwd=folder)
    assert time.monotonic() - began < TRAINING_S
    played = json.loads(venv.succeed("arl", "eval", "train_dir/r", "--episodes", "100", "--json", cwd=folder))
    assert played["return_mean"] >= STATED_RETURN


def test_what_is_written_is_clean(make_venv: Callable[..., Venv], tmp_path: Path) -> None:
    """For its own linter and type checker, whatever the name's length; for the core's linter too."""
    for tool in ("ruff", "mypy"):
        pytest.importorskip(tool, reason=f"{tool} is not installed: the extra dev has it")
    venv = make_venv("arl-core")
    for name in ("demo", "ab", "a-name-of-20-letters"):
        venv.succeed("arl", "plugins", "new", name, cwd=tmp_path)
        project = tmp_path / f"arl-plugin-{name}"
        for words in (["check", "."], ["format", "--check", "."], ["check", "--config", str(ROOT / "pyproject.toml"), "src"]):
            # this environment's: links reach modules, not programs
            done = subprocess.run([sys.executable, "-m", "ruff", *words], cwd=project, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    venv.succeed("pip", "install", "--quiet", "--no-deps", tmp_path / "arl-plugin-demo", cwd=tmp_path)
    venv.succeed("python", "-m", "mypy", cwd=tmp_path / "arl-plugin-demo")
