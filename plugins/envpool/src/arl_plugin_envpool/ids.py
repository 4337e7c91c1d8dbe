"""The ids that the installed EnvPool has."""

from __future__ import annotations

from arl_core.config.layers import nearest
from arl_core.interfaces import EnvSpec, UserError
from arl_plugin_envpool.pool import import_envpool


def resolve(variant: str) -> EnvSpec:
    """An id of EnvPool's. Raises UserError for another one, with the nearest."""
    known = import_envpool().list_all_envs()
    if variant not in known:
        hint = nearest(f"envpool:{variant}", [f"envpool:{name}" for name in known])
        raise UserError(f"no environment 'envpool:{variant}'.{hint or ' All of them: arl envs envpool'}")
    return EnvSpec(
        id=variant,
        maker="arl_plugin_envpool.env:make",
        vector_maker="arl_plugin_envpool.group:make",
        kwargs={"task_id": variant},
    )


def list_ids() -> dict[str, str]:
    """Every id, and the part of EnvPool that has it."""
    envpool = import_envpool()
    where = envpool.registration.registry.specs
    return {name: where[name][0].removeprefix("envpool.").replace(".", " ") for name in envpool.list_all_envs()}
