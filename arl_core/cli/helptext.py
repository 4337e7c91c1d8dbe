"""Help that is made from the configuration's fields and a family's options, so that it cannot go stale."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from arl_core.cli.output import LEAST, aligned, line_width, shown, wrapped
from arl_core.config.layers import core_defaults
from arl_core.config.schema import FIELD_GROUPS, RunConfig
from arl_core.config.sources import choices_of
from arl_core.interfaces import EnvFamily
from arl_core.registry.selection import PluginSelection

COLUMN = 38
LISTED = 24  # variants that a help text still names one by one


def field_lines() -> list[str]:
    """Every field of the configuration, under the title of its group."""
    lines: list[str] = []
    for title, names in grouped_fields():
        lines += ["", f"{title}:", *option_lines({name: RunConfig.model_fields[name] for name in names})]
    return lines


def grouped_fields() -> list[tuple[str, list[str]]]:
    """Titles and fields, in the order that the schema declares them; at last those that belong to no group."""
    groups = [((group.__doc__ or group.__name__).strip(), list(group.model_fields)) for group in FIELD_GROUPS]
    grouped = {name for _, names in groups for name in names}
    others = [name for name in RunConfig.model_fields if name not in grouped]
    return [*groups, ("Environment and plugins", others)]


def option_lines(fields: Mapping[str, FieldInfo], prefix: str = "") -> list[str]:
    """One entry a field: flag, kind of value, description, default."""
    lines: list[str] = []
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
        note = "" if default in (PydanticUndefined, None, "", [], {}) else f" (default: {shown(to_jsonable_python(default))})"
        lines += entry(f"--{prefix}{name} {kind(field.annotation)}".rstrip(), f"{field.description or ''}{note}")
    return lines


def entry(flag: str, text: str) -> list[str]:
    """A flag and its wrapped description, in two columns."""
    body = textwrap.wrap(text, max(line_width() - COLUMN, LEAST), break_on_hyphens=False) or [""]
    head = f"  {flag}"
    first = [f"{head:<{COLUMN}}{body.pop(0)}"] if len(head) < COLUMN - 1 else [head]
    return [line.rstrip() for line in (*first, *(" " * COLUMN + line for line in body))]


def env_lines(env: str, algo: str, selection: PluginSelection) -> list[str]:
    """What the environment's plugin adds: its variants, its options, the defaults that it changes."""
    from arl_core.registry.catalog import param_overrides
    from arl_core.registry.options import options_model
    from arl_core.registry.resolve import describe_family, resolve_env

    family, owner = describe_family(env, selection)
    lines = ["", f"{family.name}: {family.summary}"]
    lines += _variant_lines(family)
    model = options_model(family)
    lines += ["", f"{family.name} options ({owner}):"]
    if model is not None and model.model_fields:
        lines += option_lines(model.model_fields, f"{family.name}.")
    else:
        free = model is not None
        lines.append(f"  --{family.name}.NAME VALUE: the constructor's own arguments" if free else "  none")
    if family.resolver is not None and env == family.name:
        return lines
    changes = param_overrides(resolve_env(env, selection=selection), algo, selection)
    if changes is not None:
        lines += ["", f"defaults changed by {env}:", *_change_lines(changes.values)]
    return lines


def _variant_lines(family: EnvFamily) -> list[str]:
    """The variants where they are few, else how many there are and how to search them."""
    names = [f"{family.name}:{spec.id}" for spec in family.variants]
    if len(names) <= LISTED:
        return wrapped(", ".join(names), "  ") if names else []
    example = f"{family.name}:{family.default_variant or family.variants[0].id}"
    return [f"  {len(names)} variants, such as {example}; search them: arl envs '{family.name}:*'"]


def _change_lines(values: Mapping[str, Any]) -> list[str]:
    defaults = core_defaults()
    changed = [name for name, value in values.items() if defaults.get(name) != value]
    return aligned([(name, f"{shown(defaults.get(name))} -> {shown(values[name])}") for name in changed], "  ") or ["  none"]


def kind(annotation: Any) -> str:
    """The kind of value, as it stands in a help text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " | ".join(kind(part) for part in get_args(annotation) if part is not type(None))
    if choices := choices_of(annotation):
        return "{" + ",".join(map(str, choices)) + "}"
    names = {int: "N", float: "X", str: "TEXT", bool: "[true|false]"}
    return names.get(annotation, "YAML")
