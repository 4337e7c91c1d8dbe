"""What tests of several rooms share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from arl_core.registry.known import KNOWN_FAMILIES


@pytest.fixture
def neverland(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known family, `neverland` of arl-plugin-neverland, that nobody can have installed."""
    monkeypatch.setitem(KNOWN_FAMILIES, "neverland", ("arl-plugin-neverland", ("never_",)))


@pytest.fixture
def shared_names() -> Callable[[], set[str]]:
    """The names in /dev/shm, without those that other living processes have mapped: other tests run beside this one."""
    return _names_of_nobody_else


def _names_of_nobody_else() -> set[str]:
    others: set[str] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if maps.parent.name != str(os.getpid()):
            try:
                others |= set(re.findall(r"/dev/shm/(\S+)", maps.read_text(encoding="utf-8", errors="replace")))
            except OSError:  # it has ended, or it is another user's
                continue
    return set(os.listdir("/dev/shm")) - others if Path("/dev/shm").is_dir() else set()
