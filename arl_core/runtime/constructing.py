"""What the constructor of `APPO` is given, before anything is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arl_core.config import RunConfig
from arl_core.config.foreign import FOREIGN_NAMES
from arl_core.config.layers import canonical_field, nearest
from arl_core.interfaces import UserError
from arl_core.registry.resolve import own_options

_ARGUMENTS = frozenset({"env", "encoder", "encoder_subtype", "num_envs_per_worker", "num_workers"})


def check_keywords(who: str, arguments: Mapping[str, Any], policy_kwargs: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """UserError for keywords that are no arguments of ours, and for what two places say differently."""
    for name, value in fields.items():
        if "policy_kwargs" in (hint := nearest(name, ["policy_kwargs", *RunConfig.model_fields, *FOREIGN_NAMES])):
            raise UserError(f"{who}: no argument '{name}'.{hint}")
        field = _field(name, who, value, arguments["env"])
        raise UserError(f"{who}: '{name}' belongs into policy_kwargs: policy_kwargs={{'{field}': ...}}")
    for name, value in policy_kwargs.items():
        field = _field(name, "policy_kwargs", value, arguments["env"])
        if field in _ARGUMENTS and field in arguments and arguments[field] != value:
            raise UserError(f"{who}: {field} is {arguments[field]!r}, and {value!r} in policy_kwargs. Leave one of the two out")


def _field(name: str, where: str, value: Any, env: Any) -> str:
    """The field that `name` means. Raises UserError, which knows the options of the environment `env` too."""
    try:
        return canonical_field(name, where, value)
    except UserError:
        options = [option.partition(".") for option in own_options(env)] if isinstance(env, str) else []
        plain = str(name).replace("-", "_")
        family = next((family for family, _, option in options if option == plain), None)
        if family is None:
            raise
        instead = f"policy_kwargs={{'env_options': {{'{plain}': {value!r}}}}}"
        raise UserError(f"{where}: '{name}' is an option of the environment {family}: {instead}") from None
