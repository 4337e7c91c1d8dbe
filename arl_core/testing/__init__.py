"""The conformance kit: every rule for plugins as a check, for `arl plugins check` and for a plugin's own tests.

    import pytest
    from arl_core.testing import plugin_checks

    @pytest.mark.parametrize("check", plugin_checks("corridor"), ids=str)
    def test_plugin(check):
        check.run()

Names resolve lazily: what runs in a fresh process (`fresh`) must not import pluggy. pytest is needed by `pytest_plugin` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arl_core.testing.results import Check, CheckFailed, Result
    from arl_core.testing.suite import plugin_checks, run_checks

_LAZY = {
    "Check": "results",
    "CheckFailed": "results",
    "Result": "results",
    "plugin_checks": "suite",
    "run_checks": "suite",
}

__all__ = ["Check", "CheckFailed", "Result", "plugin_checks", "run_checks"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"arl_core.testing.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'arl_core.testing' has no attribute '{name}'")
