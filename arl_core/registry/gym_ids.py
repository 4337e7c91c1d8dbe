"""`gym:<id>`: Gymnasium's registered ids first, then those that only the legacy gym package knows.

A specification travels by value, so an id that the user's own script registered exists in the workers too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.registry.loading import cause, load_named
from arl_core.registry.local import LocalEnvSpec, by_value, is_running, look_here

MAKER = "arl_core.envs.make:make_gymnasium"
LEGACY_MAKER = "arl_core.envs.legacy_gym:make"


def resolve_gym(variant: str) -> LocalEnvSpec:
    """`<id>`, or `<module>:<id>` where importing the module registers the id."""
    from gymnasium.envs.registration import registry

    module, _, env_id = variant.rpartition(":")
    if module:
        _import(module, variant)
    imports = (module,) if module else ()
    if env_id in registry:
        return _modern(registry[env_id], variant, imports)
    legacy = _legacy_registry()
    if env_id in legacy:
        return _legacy(legacy[env_id], variant, imports)
    hint = nearest(f"gym:{env_id}", [f"gym:{known}" for known in (*registry, *legacy)])
    raise UserError(
        f"no environment 'gym:{variant}'.{hint} "
        "Ids that another package registers are written gym:<module>:<id>, with the module to import"
    )


def list_gym() -> dict[str, str]:
    """The registered ids, and which package has them: Gymnasium's where both do."""
    from gymnasium.envs.registration import registry

    modern = dict.fromkeys(registry, "registered with Gymnasium")
    return dict.fromkeys(_legacy_registry(), "registered with the legacy gym package") | modern


def _import(module: str, variant: str) -> None:
    look_here(module)
    try:
        import_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"environment 'gym:{variant}': module '{module}' cannot be imported: {cause(error)}") from error


def _legacy_registry() -> Mapping[str, Any]:
    if find_spec("gym") is None:
        return {}
    from arl_core.envs.legacy_gym import legacy_registry

    return legacy_registry()


def _creator(spec: Any, variant: str) -> Any:
    """The callable behind a specification's entry point. Raises UserError where it has none or it fails to import."""
    if spec.entry_point is None:
        raise UserError(f"environment 'gym:{variant}' has no entry point for a single environment")
    named = isinstance(spec.entry_point, str)
    return load_named(spec.entry_point, f"environment 'gym:{variant}'") if named else spec.entry_point


def _modern(spec: Any, variant: str, imports: tuple[str, ...]) -> LocalEnvSpec:
    """A Gymnasium specification. Order enforcement and checks go: the engine always resets first, and checks itself."""
    creator = _creator(spec, variant)
    carried = copy.copy(spec)
    carried.max_episode_steps = None  # applied by build_env, outside the wrappers
    carried.order_enforce, carried.disable_env_checker, carried.vector_entry_point = False, True, None
    described = {"id": variant, "maker": MAKER, "max_episode_steps": spec.max_episode_steps, "imports": imports}
    if _names_module(spec.entry_point) and _is_json(spec.kwargs) and not spec.additional_wrappers:
        return LocalEnvSpec(**described, kwargs={"spec": json.loads(carried.to_json())}, creator=creator)
    carried.entry_point = spec.entry_point if _names_module(spec.entry_point) else creator
    return LocalEnvSpec(**described, code=by_value(carried, f"gym:{variant}"), creator=creator)


def _legacy(spec: Any, variant: str, imports: tuple[str, ...]) -> LocalEnvSpec:
    creator = _creator(spec, variant)
    described = {"id": variant, "maker": LEGACY_MAKER, "max_episode_steps": spec.max_episode_steps, "imports": imports}
    if _names_module(spec.entry_point) and _is_json(spec.kwargs):
        arguments = {"target": spec.entry_point, "arguments": dict(spec.kwargs)}
        return LocalEnvSpec(**described, kwargs=arguments, creator=creator)
    return LocalEnvSpec(**described, code=by_value((creator, dict(spec.kwargs)), f"gym:{variant}"), creator=creator)


def _names_module(entry_point: Any) -> bool:
    """Whether a fresh process can import the entry point."""
    return isinstance(entry_point, str) and not is_running(entry_point.partition(":")[0])


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
