"""For the tests of all plugins."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "runtime"))

import warm

from arl_core.testing import processes


@pytest.fixture(autouse=True)
def warm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs that the conformance checks make find torch imported."""
    monkeypatch.setattr(processes, "subprocess", warm.substitute(lambda command: command[1:4] == ["-m", "arl_core", "run"]))
