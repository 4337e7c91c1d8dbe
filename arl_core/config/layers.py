"""Defaults have owners: merge layers of values into one configuration that remembers where each value came from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from arl_core.config.schema import LEGACY_NAMES, RunConfig
from arl_core.interfaces import UserError


@dataclass(frozen=True)
class Layer:
    """Values from one owner. `origin` is shown to the user ("core", "arl-plugin-maze 0.1.0", "command line")."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class ResolvedConfig:
    """A validated configuration and the origin of each field that is not the core's default."""

    config: RunConfig
    origins: Mapping[str, str] = field(default_factory=dict)
    core_defaults: Mapping[str, Any] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Who set `name`."""
        return self.origins.get(name, "core")


def nearest(word: str, choices: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the closest choice, or an empty string."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def canonical_field(name: str, origin: str) -> str:
    """The field that `name` means (dashes and legacy spellings allowed). Raises UserError for an unknown one."""
    plain = name.replace("-", "_")
    plain = LEGACY_NAMES.get(plain, plain)
    if plain not in RunConfig.model_fields:
        raise UserError(f"{origin}: no configuration field '{name}'.{nearest(plain, RunConfig.model_fields)}")
    return plain


def one_line(error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """The first complaint of a pydantic validation, as one line for people."""
    first = error.errors(include_url=False)[0]
    location = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        return message
    name = location.split(".")[0]
    origin = origins.get(name)
    where = f" (from {origin})" if origin else ""
    if first["type"] == "extra_forbidden":
        return f"no option '{location}'.{nearest(location, model.model_fields)}"
    return f"{location}{where}: {message[0].lower()}{message[1:]}, got {first['input']!r}"


def merge_layers(layers: Iterable[Layer]) -> ResolvedConfig:
    """Later layers win. Raises UserError that names layer, field and the nearest valid name."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.values.items():
            key = canonical_field(name, layer.origin)
            if key == "env_options":
                value = {**values.get(key, {}), **value}
            values[key] = value
            origins[key] = layer.origin
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(one_line(error, RunConfig, origins)) from None
    defaults = RunConfig().model_dump()
    return ResolvedConfig(config, origins, defaults)
