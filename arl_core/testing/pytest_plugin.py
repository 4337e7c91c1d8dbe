"""Fixtures for the tests of plugins and of the core. Opt-in: `pytest_plugins = ["arl_core.testing.pytest_plugin"]`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from arl_core.registry import discovery
from arl_core.registry.loading import forget
from arl_core.testing.distributions import FakeDistribution
from arl_core.testing.processes import Ended, child_environment, run_bounded


@contextmanager
def fake_site(folder: Path) -> Iterator[Callable[..., Path]]:
    """Fake distributions in a new `folder`, on the path of this process and of those that it starts; nothing of them stays."""
    folder.mkdir()
    names: list[str] = []

    def install(name: str, **arguments: Any) -> Path:
        FakeDistribution(name, **arguments).write(folder)
        names.append(name)
        importlib.invalidate_caches()
        discovery.refresh()
        return folder

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield install
    for name in names:
        forget(name)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            del sys.modules[name]
    discovery.refresh()


@pytest.fixture
def fake_distribution(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`fake_distribution(name, plugins={"maze": "my_maze.plugin"}, files={"my_maze/plugin.py": "..."})`: there for one test.

    The arguments are `arl_core.testing.distributions.FakeDistribution`'s. Returns the folder that holds it, which is on the
    path of this process and of those that it starts.
    """
    with fake_site(tmp_path / "fake_site") as install:
        yield install


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
