"""Plugins and names: which distributions provide what, and what an environment's name means.

Names resolve lazily: importing this package costs nothing, and `discovery` alone uses the standard library only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arl_core.registry.making import make_env
    from arl_core.registry.parts import run_parts
    from arl_core.registry.resolve import resolve_env
    from arl_core.registry.runs import resolve_run
    from arl_core.registry.selection import selection_of

_LAZY = {
    "make_env": "making",
    "resolve_env": "resolve",
    "resolve_run": "runs",
    "run_parts": "parts",
    "selection_of": "selection",
}

__all__ = ["make_env", "resolve_env", "resolve_run", "run_parts", "selection_of"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"arl_core.registry.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'arl_core.registry' has no attribute '{name}'")
