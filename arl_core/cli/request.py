"""From the words of a command line to a resolved run: what `arl run` and `arl config` share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from arl_core.cli.flags import Parsed, parse
from arl_core.config.layers import Layer, ResolvedConfig, merge_layers
from arl_core.config.schema import LEGACY_NAMES, RunConfig
from arl_core.config.sources import NO_VALUE, Text, environment_layer, field_value, yaml_layer
from arl_core.interfaces import ResolvedEnv, UserError
from arl_core.registry.names import family_of
from arl_core.registry.provenance import saved_run
from arl_core.registry.selection import SELECTION_FIELDS, PluginSelection, selection_of

ORIGIN = "command line"
CORE_ALONE = Layer("--no-plugins", {"plugins_allow": []})


class Request(NamedTuple):
    """A parsed command line: the configuration's fields that it sets, and its other flags."""

    parsed: Parsed
    fields: dict[str, Any]  # typed values of the configuration's fields
    others: dict[str, str | bool]  # flags of the command itself
    config_file: str | None

    def layers(self) -> list[Layer]:
        """What the command line sets: fields, and what a switch means for them."""
        return [Layer(ORIGIN, self.fields), *([CORE_ALONE] if self.others.get("no_plugins") else [])]


def parse_request(arguments: list[str], switches: tuple[str, ...], named: tuple[str, ...] = ()) -> Request:
    """Parse flags for every field of the configuration, `--config FILE`, `--no-plugins`, and the command's own: `switches`,
    and those that take a value (`named`)."""
    flags = {name: field.annotation is bool for name, field in RunConfig.model_fields.items()}
    own = {**dict.fromkeys(("config", *named), False), **dict.fromkeys(("no_plugins", *switches), True)}
    parsed = parse(arguments, {**flags, **own}, legacy=LEGACY_NAMES, own=partial(_own_flags, arguments))
    fields = {
        name: field_value(name, value, f"--{name}") if isinstance(value, str) else value
        for name, value in parsed.values.items()
        if name in flags
    }
    others = {name: value for name, value in parsed.values.items() if name in own}
    if others.get("no_plugins") and "plugins_allow" in fields:
        raise UserError("--no-plugins and --plugins_allow contradict each other: give one")
    file = others.pop("config", None)
    return Request(parsed, fields, others, file if isinstance(file, str) else None)


def _own_flags(arguments: Sequence[str]) -> list[str]:
    """For a hint: the options of the environments that the words name."""
    from arl_core.registry.resolve import own_options

    words = [word for argument in arguments for word in argument.split("=", 1)]
    return [option for word, env in pairwise(words) if word == "--env" for option in own_options(env)]


def named_field(request: Request, name: str, saved: Layer | None = None) -> Any:
    """The value that will win for the field `name`, before any plugin is asked."""
    given = [layer.values[name] for layer in _stack(request, saved) if name in layer.values]
    return given[-1] if given else RunConfig.model_fields[name].default


def named_selection(request: Request, saved: Layer | None = None) -> PluginSelection:
    """Which plugins the run may use. Raises UserError."""
    return selection_of(merge_layers(layer.only(SELECTION_FIELDS) for layer in _stack(request, saved)))


def _stack(request: Request, saved: Layer | None) -> list[Layer]:
    """What is around, saved, in a file, on the command line: in the order in which `resolve_run` has it."""
    around = [environment_layer(os.environ)]
    file = [yaml_layer(request.config_file)] if request.config_file is not None else []
    return [*around, saved, *file, *request.layers()] if saved is not None else [*file, *around, *request.layers()]


def resolve_request(request: Request, saved: Layer | None = None) -> tuple[ResolvedConfig, ResolvedEnv]:
    """The run that the command line asks for. Raises UserError."""
    from arl_core.registry.runs import resolve_run

    layers = request.layers()
    if request.parsed.options:
        env = named_field(request, "env", saved)
        if isinstance(env, str) and isinstance(request.fields.get("env_options", {}), Mapping):
            family = family_of(env, named_selection(request, saved))
            layers.append(own_layer(request.parsed.options, env, family))
    return resolve_run(*layers, config_file=request.config_file, saved=saved)


def own_layer(options: Mapping[tuple[str, str], str | None], env: str, family: str) -> Layer:
    """`--maze.size 5` as an option of the environment, which must be maze's. Raises UserError."""
    for prefix, name in options:
        if prefix != family:
            raise UserError(f"--{prefix}.{name}: the environment is '{env}', its options are written --{family}.NAME")
    return Layer(
        ORIGIN, {"env_options": {name: NO_VALUE if value is None else Text(value) for (_, name), value in options.items()}}
    )


def own_layer_of(options: Mapping[tuple[str, str], str | None], run_dir: Path, env: str | None) -> Layer:
    """`--maze.size 5`: options of a saved run's environment that are others now, of `env` where it is named again."""
    named = str(saved_run(run_dir)[0].get("env") if env is None else env)
    return own_layer(options, named, family_of(named))
