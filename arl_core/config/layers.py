"""Defaults have owners: merge layers of values into one configuration that remembers where each value came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from arl_core.config.foreign import ALGORITHMS, FOREIGN_NAMES, MOOT_NAMES
from arl_core.config.schema import AUTO_WORDS, LEGACY_NAMES, RunConfig
from arl_core.interfaces import UserError

AUTO_ORIGIN = "auto: "  # begins the origin of a value that was measured; why it was chosen follows


@dataclass(frozen=True)
class Layer:
    """Values from one owner. `origin` is shown to the user ("core", "arl-plugin-maze 0.1.0", "command line")."""

    origin: str
    values: Mapping[str, Any]

    def only(self, names: Collection[str]) -> Layer:
        """Its values of the fields `names`. Raises UserError for a value of no field."""
        values = {canonical_field(name, self.origin, value): value for name, value in self.values.items()}
        return Layer(self.origin, {name: value for name, value in values.items() if name in names})


@dataclass(frozen=True)
class ResolvedConfig:
    """A validated configuration and the origin of each field that is not the core's default."""

    config: RunConfig
    origins: Mapping[str, str] = field(default_factory=dict)
    auto: frozenset[str] = frozenset()  # fields to be measured; until then they have a value of a weaker layer
    named: frozenset[str] = frozenset()  # fields that the user has named for this very run, in a file or by hand

    def origin(self, name: str) -> str:
        """Who set `name`."""
        return self.origins.get(name, "core")


def core_defaults() -> dict[str, Any]:
    """The value of every field that nobody sets, as JSON."""
    return RunConfig.model_validate({}).model_dump(mode="json")


def nearest(word: str, choices: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the closest choice (letter case does not count), or an empty string."""
    by_lower = {choice.lower(): choice for choice in sorted(choices, reverse=True)}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[found[0]]}'?" if found else ""


def canonical_field(name: str, origin: str, value: Any = None) -> str:
    """The field that `name` means (dashes and legacy spellings allowed). Raises UserError for an unknown one; `value` says
    whether an option of an environment was meant."""
    if not isinstance(name, str):
        raise UserError(f"{origin}: the name of a configuration field is text, not {name!r}")
    plain = name.replace("-", "_")
    plain = LEGACY_NAMES.get(plain, plain)
    check_moot(plain, f"{origin}: ")
    if plain not in RunConfig.model_fields:
        raise UserError(f"{origin}: no configuration field '{name}'.{_meant(plain, value)}")
    return plain


def _meant(name: str, value: Any) -> str:
    """The nearest field, or where options of an environment stand: `maze: {size: 3}` and `maze.size: 3` are no fields."""
    family, dot, option = name.partition(".")
    if dot and f"{family}_{option}" not in RunConfig.model_fields:
        value = {option: value}
    elif (near := nearest(name, RunConfig.model_fields)) or value is None:
        return near
    elif not isinstance(value, Mapping):
        value = {name: value}
    options = ", ".join(f"{key}: {each}" for key, each in value.items())
    return f" Environment options stand under env_options: {{{options}}}"


def check_moot(name: str, where: str = "") -> None:
    """Raises UserError for another library's name that means nothing, or is another, here; `where` begins the message."""
    if name in MOOT_NAMES:
        raise UserError(f"{where}'{name}' is not an option here: {MOOT_NAMES[name]}. Leave it out")
    if name in FOREIGN_NAMES and name not in RunConfig.model_fields:
        raise UserError(f"{where}'{name}' is not an option here. Instead: {FOREIGN_NAMES[name]}")


def complaint(error: ErrorDetails) -> str:
    """What pydantic says about one value, with the value and the nearest of the choices where there are any."""
    message = error["msg"].removeprefix("Value error, ")
    choices = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    hint = nearest(str(error["input"]), choices)
    if error["type"] == "list_type" and error["input"] is None:
        hint = " For none at all write []"
    return f"{message[0].lower()}{message[1:]}, got {error['input']!r}{'.' if hint else ''}{hint}"


_PLUGIN = ". Your own code comes from a plugin, whose name for it stands here: arl plugins new NAME (docs/plugins.md)"
_SCHEDULE = ". A schedule is lr_schedule, or set_hyperparameters(learning_rate=...) in the callback of train"
# what is given as code elsewhere, and what to do here
_NO_CODE = {
    **dict.fromkeys(("wrappers", "extensions"), _PLUGIN),
    "learning_rate": _SCHEDULE,
}


def _one_line(error: ValidationError, origins: Mapping[str, str]) -> str:
    """The first complaint of a pydantic validation, as one line for people."""
    first = error.errors(include_url=False)[0]
    location = ".".join(str(part) for part in first["loc"])
    if not location:
        return first["msg"].removeprefix("Value error, ")
    origin = origins.get(str(first["loc"][0]))
    where = f" (from {origin})" if origin else ""
    advice = _NO_CODE.get(str(first["loc"][0]), "") if callable(first["input"]) else ""
    return f"{location}{where}: {complaint(first)}{advice}"


def merge_layers(layers: Iterable[Layer]) -> ResolvedConfig:
    """Later layers win. Raises UserError that names layer, field and the nearest valid name."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    auto: set[str] = set()
    for layer in layers:
        for name, value in layer.values.items():
            key = canonical_field(name, layer.origin, value)
            earlier = values.get(key)
            if key == "algo" and isinstance(value, str):
                value = ALGORITHMS.get(value, value)
            if key == "env_options" and isinstance(earlier, Mapping) and isinstance(value, Mapping):
                value = {**earlier, **value}
            origins[key] = layer.origin
            if key in AUTO_WORDS and value == AUTO_WORDS[key]:
                auto.add(key)
                continue
            auto.discard(key)
            values[key] = value
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(_one_line(error, origins)) from None
    return ResolvedConfig(config, origins, frozenset(auto))
