"""arl: asynchronous reinforcement learning at the speed of the machine, with plugins.

Importing this package imports neither torch nor an environment: names resolve when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from arl_core._version import __version__

if TYPE_CHECKING:
    from arl_core.interfaces import UserError
    from arl_core.registry import make_env
    from arl_core.runtime.api import A3C, APPO, IMPALA, Status
    from arl_core.runtime.evaluate import load_policy

_LAZY = {
    "A3C": "arl_core.runtime.api",
    "APPO": "arl_core.runtime.api",
    "IMPALA": "arl_core.runtime.api",
    "Status": "arl_core.runtime.api",
    "UserError": "arl_core.interfaces",
    "load_policy": "arl_core.runtime.evaluate",
    "make_env": "arl_core.registry",
}

__all__ = ["A3C", "APPO", "IMPALA", "Status", "UserError", "__version__", "load_policy", "make_env"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'arl_core' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
