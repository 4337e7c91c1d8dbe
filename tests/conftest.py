"""What tests of several rooms share."""

from __future__ import annotations

import pytest

from arl_core.registry.known import KNOWN_FAMILIES


@pytest.fixture
def neverland(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known family, `neverland` of arl-plugin-neverland, that nobody can have installed."""
    monkeypatch.setitem(KNOWN_FAMILIES, "neverland", ("arl-plugin-neverland", ("never_",)))
