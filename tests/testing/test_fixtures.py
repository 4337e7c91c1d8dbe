"""The fixtures that plugins' tests may use, and what importing the kit costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arl_core.interfaces import UserError
from arl_core.registry import resolve_env
from arl_core.testing.pytest_plugin import fake_site

HOOKS = """
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily, EnvSpec

@hookimpl
def arl_environments():
    return [EnvFamily("ghost", "SUMMARY", (EnvSpec("one", "ghost_env:make"),), "one")]
"""


@pytest.mark.parametrize("summary", ["first", "second"])  # twice the same name: nothing is left of the first
def test_a_fake_distribution_is_there_for_one_test(
    summary: str, fake_distribution: Callable[..., Path], run_arl: Callable[..., object]
) -> None:
    from arl_core.registry.resolve import describe_family

    files = {"ghost_hooks.py": HOOKS.replace("SUMMARY", summary)}
    folder = fake_distribution("arl-plugin-ghost", version="2.5", plugins={"ghost": "ghost_hooks"}, files=files)
    assert describe_family("ghost")[0].summary == summary
    assert resolve_env("ghost").version == "2.5"
    assert str(folder) in os.environ["PYTHONPATH"]
    listed = run_arl("plugins", "list")
    assert (listed.code, "ghost" in listed.stdout) == (0, True)


def test_afterwards_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    path = list(sys.path)
    with fake_site(tmp_path / "site") as install:
        install("arl-plugin-ghost", plugins={"ghost": "ghost_hooks"}, files={"ghost_hooks.py": HOOKS})
        assert resolve_env("ghost").id == "ghost:one"
    assert (sys.path, os.environ["PYTHONPATH"], "ghost_hooks" in sys.modules) == (path, "before", False)
    with pytest.raises(UserError, match="no environment 'ghost'"):
        resolve_env("ghost")


def test_the_command_line_ends_in_time(run_arl: Callable[..., object], fake_distribution: Callable[..., Path]) -> None:
    fake_distribution("arl-plugin-slow", plugins={"slow": "slow_hooks"}, files={"slow_hooks.py": "import time\ntime.sleep(60)"})
    assert run_arl("config", "--env", "slow", timeout_s=2.0).code is None
    mistake = run_arl("run", "--env", "slw")
    assert (mistake.code, mistake.stdout, mistake.stderr) == (2, "", "error: no environment 'slw'. Did you mean 'slow'?\n")


def test_the_kit_needs_pytest_for_its_fixtures_only() -> None:
    modules = ["suite", "child", "supervise", "fresh", "environments", "groups", "encoders", "wrappers", "training"]
    code = f"import sys, {', '.join(f'arl_core.testing.{m}' for m in modules)}; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_fresh_process_has_no_pluggy() -> None:
    code = "import sys, arl_core.testing.fresh, arl_core.testing.playing, arl_core.envs.make; print('pluggy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
