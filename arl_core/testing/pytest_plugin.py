"""Fixtures for the tests of plugins and of the core. Opt-in: `pytest_plugins = ["arl_core.testing.pytest_plugin"]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arl_core.testing.distributions import FakeDistribution, FakeSite
from arl_core.testing.processes import Ended, child_environment, run_bounded


@pytest.fixture
def fake_distribution(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`fake_distribution(name, plugins={"maze": "my_maze.plugin"}, files={"my_maze/plugin.py": "..."})`: there for one test.

    The arguments are `arl_core.testing.distributions.FakeDistribution`'s. Returns the folder that holds it, which is on the
    path of this process and of those that it starts.
    """
    site = FakeSite(tmp_path / "fake_site")

    def install(name: str, **arguments: Any) -> Path:
        site.add(FakeDistribution(name, **arguments))
        return site.folder

    yield install
    site.close()


@pytest.fixture
def run_arl(tmp_path: Path) -> Callable[..., Ended]:
    """`run_arl("run", "--env", "maze")`: the command line in a process of its own, in the test's temporary folder.

    Returns its `code`, `stdout` and `stderr`; `code` is None where it had to be ended after `timeout_s` (default: 60).
    Further keywords are environment variables; `ARL_*` of this process do not count.
    """

    def run(*words: str, timeout_s: float = 60.0, cwd: Path | None = None, **variables: str) -> Ended:
        command = [sys.executable, "-m", "arl_core", *words]
        return run_bounded(command, timeout_s=timeout_s, env=child_environment(**variables), cwd=cwd or tmp_path)

    return run
