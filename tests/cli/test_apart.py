"""Plugins that end or crash the process that imports them are told, and hide no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

DEADLY = {
    "exits": ("import os\nos._exit(3)\n", "with exit code 3"),
    "exits-well": ("import os\nos._exit(0)\n", "with exit code 0"),
    "crashes": ("import ctypes\nctypes.string_at(0)\n", "by SIGSEGV"),
}


@pytest.fixture
def deadly(fakes: Any) -> Any:
    for name, (source, _) in DEADLY.items():
        module = f"deadly_{name.replace('-', '_')}"
        fakes.module(module, source)
        fakes.dist(f"arl-deadly-{name}", plugins={name: module})
    fakes.corridor()
    return fakes


def ended(name: str) -> str:
    return f"plugin '{name}': arl-deadly-{name} 1.0 ended the process that imported it, {DEADLY[name][1]}"


def test_envs_tells_which_and_lists_all_others(deadly: Any) -> None:
    done = deadly.arl("envs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert {"corridor:short", "gym:NAME", "py:NAME"} <= {entry["id"] for entry in listed["environments"]}
    assert {failed["name"]: failed["error"].splitlines()[0] for failed in listed["failed"]} == {
        name: ended(name) for name in DEADLY
    }


@pytest.mark.parametrize("name", DEADLY)
def test_show_and_docs_tell_it(name: str, deadly: Any) -> None:
    (plugin,) = json.loads(deadly.arl("plugins", "show", name, "--json").stdout)["plugins"]
    assert (plugin["status"], plugin["error"].splitlines()[0]) == ("broken", ended(name))
    docs = deadly.arl("plugins", "docs", name)
    assert (docs.returncode, docs.stdout, docs.stderr.splitlines()[0]) == (2, "", f"error: {ended(name)}")


def test_a_run_that_names_a_plugin_which_crashes_shows_where(deadly: Any) -> None:
    done = deadly.arl("run", "--env", "crashes")
    assert done.returncode == -signal.SIGSEGV
    assert "deadly_crashes.py" in done.stderr


def test_what_looks_at_plugins_ends_with_the_command(fakes: Any) -> None:
    """The command is killed while a plugin's import hangs."""
    fakes.module("hangs", "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)\n")
    fakes.dist("arl-hangs", plugins={"hangs": "hangs"})
    path = os.pathsep.join([str(fakes.folder), str(Path(__file__).parents[2])])
    command = subprocess.Popen(
        [sys.executable, "-m", "arl_core", "plugins", "show", "hangs"], cwd=fakes.folder, env={**os.environ, "PYTHONPATH": path}
    )
    child = _until(lambda: (fakes.folder / "pid").exists() and int((fakes.folder / "pid").read_text() or 0))
    command.kill()
    command.wait()
    assert _until(lambda: not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text())


def _until(condition: Any, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value
