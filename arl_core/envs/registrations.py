"""Ids that the user's own code has registered, carried to processes that have not run it."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from importlib import import_module
from typing import Any

# the module whose import makes each library ready; legacy gym prints a notice unless ours imports it
_LIBRARIES = {"gymnasium": "gymnasium.envs.registration", "gym": "arl_core.envs.legacy_gym"}


class WithRegistrations:
    """A callable that, once unpickled in another process, is `target` itself, with the ids that it names registered."""

    def __init__(self, target: Callable[..., Any], found: dict[str, dict[str, Any]]) -> None:
        self._target, self._found = target, found

    def __reduce__(self) -> tuple[Any, ...]:
        return register, (self._found, self._target)


def register(found: dict[str, dict[str, Any]], target: Callable[..., Any]) -> Callable[..., Any]:
    """Register what is missing here; returns `target`."""
    for library, specs in found.items():
        import_module(_LIBRARIES[library])
        known = _registry(library)
        for env_id, spec in specs.items():
            known.setdefault(env_id, spec)
    return target


def named_in(code: bytes) -> dict[str, dict[str, Any]]:
    """Specifications, by library and id, of the ids that are not the library's own and that occur in a pickle's texts."""
    found = {}
    for library in _LIBRARIES:
        if f"{library}.envs.registration" not in sys.modules:
            continue
        own = f"{library}."
        specs = {
            env_id: spec
            for env_id, spec in _registry(library).items()
            if not str(spec.entry_point).startswith(own) and env_id.encode() in code
        }
        if specs:
            found[library] = specs
    return found


def _registry(library: str) -> MutableMapping[str, Any]:
    registry: MutableMapping[str, Any] = sys.modules[f"{library}.envs.registration"].registry
    return registry
