"""From the words of a command line to a resolved run: what `arl run` and `arl config` share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from arl_core.cli.flags import Parsed, parse
from arl_core.config.layers import Layer, ResolvedConfig
from arl_core.config.schema import LEGACY_NAMES, RunConfig
from arl_core.config.sources import Text, environment_layer, field_value, yaml_layer
from arl_core.interfaces import ResolvedEnv, UserError

ORIGIN = "command line"


class Request(NamedTuple):
    """A parsed command line: the configuration's fields that it sets, and its other flags."""

    parsed: Parsed
    fields: dict[str, Any]  # typed values of the configuration's fields
    others: dict[str, str | bool]  # flags of the command itself
    config_file: str | None


def parse_request(arguments: list[str], switches: tuple[str, ...]) -> Request:
    """Parse flags for every field of the configuration, `--config FILE`, and the command's own `switches`."""
    flags = {name: field.annotation is bool for name, field in RunConfig.model_fields.items()}
    own = {"config": False, **dict.fromkeys(switches, True)}
    parsed = parse(arguments, {**flags, **own}, legacy=LEGACY_NAMES)
    fields = {
        name: field_value(name, value) if isinstance(value, str) else value
        for name, value in parsed.values.items()
        if name in flags
    }
    others = {name: value for name, value in parsed.values.items() if name in own}
    file = others.pop("config", None)
    return Request(parsed, fields, others, file if isinstance(file, str) else None)


def named_field(request: Request, name: str, saved: Layer | None = None) -> Any:
    """The value that will win for the field `name`, before any plugin is asked."""
    layers = [environment_layer(os.environ)]
    if request.config_file is not None:
        layers.insert(0 if saved is None else 1, yaml_layer(request.config_file))
    if saved is not None:
        layers.insert(1, saved)
    layers.append(Layer(ORIGIN, request.fields))
    given = [layer.values[name] for layer in layers if name in layer.values]
    return given[-1] if given else RunConfig.model_fields[name].default


def resolve_request(request: Request, saved: Layer | None = None) -> tuple[ResolvedConfig, ResolvedEnv]:
    """The run that the command line asks for. Raises UserError."""
    from arl_core.registry.runs import resolve_run

    fields = dict(request.fields)
    if request.parsed.options:
        env = named_field(request, "env", saved)
        if isinstance(env, str):
            fields["env_options"] = {**fields.get("env_options", {}), **_own_options(request.parsed.options, env)}
    return resolve_run(Layer(ORIGIN, fields), config_file=request.config_file, saved=saved)


def _own_options(options: Mapping[tuple[str, str], str], env: str) -> dict[str, Text]:
    """`--maze.size 5` as an option of the environment, which must be maze's."""
    from arl_core.registry.names import family_of

    family = family_of(env)
    for prefix, name in options:
        if prefix != family:
            raise UserError(f"--{prefix}.{name}: the environment is '{env}', its options are written --{family}.NAME")
    return {name: Text(value) for (_, name), value in options.items()}
