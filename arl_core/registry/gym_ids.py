"""`gym:<id>`: Gymnasium's registered ids first, then those that only the legacy gym package knows. `gym-vector:<id>`:
those that are registered with a vector environment.

A specification travels by value, so an id that the user's own script registered exists in the workers too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.registry.loading import cause, load_named
from arl_core.registry.local import VECTOR_MAKERS, LocalEnvSpec, by_value, is_running, look_here

MAKER = "arl_core.envs.make:make_gymnasium"
LEGACY_MAKER = "arl_core.envs.legacy_gym:make"


def resolve_gym(variant: str) -> LocalEnvSpec:
    """`<id>`, or `<module>:<id>` where importing the module registers the id."""
    from gymnasium.envs.registration import registry

    imports, env_id = _imported("gym", variant)
    if env_id in registry:
        return _modern(registry[env_id], variant, imports)
    legacy = _legacy_registry()
    if env_id in legacy:
        return _legacy(legacy[env_id], variant, imports)
    hint = _elsewhere(env_id) or _similar(env_id, [*legacy, *registry])
    raise UserError(
        f"no environment 'gym:{variant}'.{hint} "
        "Ids that another package registers are written gym:<module>:<id>, with the module to import"
    )


def _similar(env_id: str, known: Iterable[str]) -> str:
    """The id that may be meant, as a sentence: the last of the nearest name. What is nearest is seen without the versions,
    which all ids have."""
    last = {each.partition("-v")[0]: each for each in known}
    hint = nearest(env_id.partition("-v")[0], last)
    name = hint.split("'")[1] if hint else ""
    return hint.replace(f"'{name}'", f"'gym:{last[name]}'") if hint else ""


def _elsewhere(env_id: str) -> str:
    """Which plugin has an id that is not registered here, as a sentence; "" where none has."""
    from arl_core.registry.names import family_of

    try:
        family = family_of(env_id)
    except UserError:
        return ""
    return f" Did you mean '{env_id}' (plugin {family})?" if family != "gym" else ""


def resolve_gym_vector(variant: str) -> LocalEnvSpec:
    """`<id>`, or `<module>:<id>`, registered with Gymnasium with a vector entry point."""
    from gymnasium.envs.registration import registry

    imports, env_id = _imported("gym-vector", variant)
    spec = registry.get(env_id)
    if spec is None:
        hint = nearest(f"gym-vector:{env_id}", [f"gym-vector:{known}" for known in list_gym_vector()])
        raise UserError(f"no environment 'gym-vector:{variant}'.{hint}")
    if spec.vector_entry_point is None:
        what = f"environment 'gym-vector:{variant}': its registration has no vector environment"
        raise UserError(f"{what}; gym:{variant} steps single ones")
    if spec.additional_wrappers:
        raise UserError(f"environment 'gym-vector:{variant}': its registration has wrappers, which are of single environments")
    limit = {} if spec.max_episode_steps is None else {"max_episode_steps": spec.max_episode_steps}
    arguments = {**limit, **spec.kwargs}  # as gymnasium.make_vec
    entry_point: Any = spec.vector_entry_point
    creator = _creator(entry_point, variant)
    described: dict[str, Any] = {"id": variant, "imports": imports, "creator": creator, **VECTOR_MAKERS}
    if _names_module(entry_point) and _is_json(arguments):
        return LocalEnvSpec(**described, kwargs={"target": entry_point, "arguments": arguments})
    return LocalEnvSpec(**described, code=by_value(partial(creator, **arguments), f"environment 'gym-vector:{variant}'"))


def list_gym_vector() -> dict[str, str]:
    """The ids that are registered with a vector environment."""
    from gymnasium.envs.registration import registry

    return {name: "steps as a Gymnasium VectorEnv" for name, spec in registry.items() if spec.vector_entry_point is not None}


def list_gym() -> dict[str, str]:
    """The registered ids, and which package has them: Gymnasium's where both do."""
    from gymnasium.envs.registration import registry

    modern = dict.fromkeys(registry, "registered with Gymnasium")
    return dict.fromkeys(_legacy_registry(), "registered with the legacy gym package") | modern


def _imported(family: str, variant: str) -> tuple[tuple[str, ...], str]:
    """What `<module>:<id>` needs imported, which is imported here too, and the id."""
    module, _, env_id = variant.rpartition(":")
    if not module:
        return (), env_id
    look_here(module)
    try:
        import_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"environment '{family}:{variant}': module '{module}' cannot be imported: {cause(error)}") from error
    return (module,), env_id


def _legacy_registry() -> Mapping[str, Any]:
    if find_spec("gym") is None:
        return {}
    from arl_core.envs.legacy_gym import legacy_registry

    return legacy_registry()


def _creator(entry_point: Any, variant: str) -> Any:
    """The callable behind an entry point. Raises UserError where it fails to import."""
    return load_named(entry_point, f"environment '{variant}'") if isinstance(entry_point, str) else entry_point


def _modern(spec: Any, variant: str, imports: tuple[str, ...]) -> LocalEnvSpec:
    """A Gymnasium specification. Order enforcement and checks go: the engine always resets first, and checks itself."""
    if spec.entry_point is None:
        hint = "" if spec.vector_entry_point is None else f". gym-vector:{variant} steps many together"
        raise UserError(f"environment 'gym:{variant}' has no entry point for a single environment{hint}")
    creator = _creator(spec.entry_point, variant)
    carried = copy.copy(spec)
    carried.max_episode_steps = None  # applied by build_env, outside the wrappers
    carried.order_enforce, carried.disable_env_checker, carried.vector_entry_point = False, True, None
    described = {"id": variant, "maker": MAKER, "max_episode_steps": spec.max_episode_steps, "imports": imports}
    if _names_module(spec.entry_point) and _is_json(spec.kwargs) and not spec.additional_wrappers:
        return LocalEnvSpec(**described, kwargs={"spec": json.loads(carried.to_json())}, creator=creator)
    carried.entry_point = spec.entry_point if _names_module(spec.entry_point) else creator
    return LocalEnvSpec(**described, code=by_value(carried, f"environment 'gym:{variant}'"), creator=creator)


def _legacy(spec: Any, variant: str, imports: tuple[str, ...]) -> LocalEnvSpec:
    creator = _creator(spec.entry_point, variant)
    described = {"id": variant, "maker": LEGACY_MAKER, "max_episode_steps": spec.max_episode_steps, "imports": imports}
    if _names_module(spec.entry_point) and _is_json(spec.kwargs):
        arguments = {"target": spec.entry_point, "arguments": dict(spec.kwargs)}
        return LocalEnvSpec(**described, kwargs=arguments, creator=creator)
    return LocalEnvSpec(
        **described, code=by_value((creator, dict(spec.kwargs)), f"environment 'gym:{variant}'"), creator=creator
    )


def _names_module(entry_point: Any) -> bool:
    """Whether a fresh process can import the entry point."""
    return isinstance(entry_point, str) and not is_running(entry_point.partition(":")[0])


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
