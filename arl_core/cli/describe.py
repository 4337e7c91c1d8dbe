"""What a distribution's plugins provide, as plain data: for `arl plugins show`, `arl plugins docs` and `arl envs`.

Listing hooks are taken from the specifications, so a new one appears here by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from arl_core.cli.apart import apart
from arl_core.cli.helptext import kind
from arl_core.cli.output import shown
from arl_core.config.layers import canonical_field, core_defaults
from arl_core.config.schema import RunConfig
from arl_core.hookspecs import EXTENSION_HOOKS, HOOK_NAMES, described_type
from arl_core.interfaces import EnvFamily, UserError, WrapperRef
from arl_core.registry.catalog import family_description, overrides_of, provides_environments
from arl_core.registry.discovery import PluginRecord, header_lines, own_prefixes
from arl_core.registry.loading import load
from arl_core.registry.names import records_of
from arl_core.registry.options import import_model, options_model
from arl_core.registry.selection import PluginSelection

# what they describe is listed: `arl_encoders` -> "encoders"; environments are described family by family
LISTINGS = {hook.removeprefix("arl_"): hook for hook in HOOK_NAMES if described_type(hook) not in {None, EnvFamily}}
HOMES = ("homepage", "home", "repository", "source", "documentation")


def find_records(name: str, selection: PluginSelection) -> list[PluginRecord]:
    """The plugins of a distribution, or the one plugin of that name. Raises UserError: unknown, or more than one."""
    found = records_of(name, selection)
    if len({record.dist for record in found}) > 1:
        owners = " and ".join(record.owner for record in found)
        raise UserError(f"'{name}' is provided by {owners}. Pick one: {found[0].dist}")
    return found


def describe_distribution(records: list[PluginRecord], selection: PluginSelection) -> dict[str, Any]:
    """A distribution's metadata, its plugins, and what they provide; of one that cannot be used, why."""
    first = records[0]
    headers = _headers(first)
    summary, home = headers.get("summary", ""), headers.get("home-page", "")
    pages = {key: url for key in HOMES if (url := headers.get(f"project-url {key}"))}
    usable = [record for record in records if record.usable]
    told = dict(zip(usable, apart("arl_core.cli.describe:provided", usable), strict=True))
    modules = {record.target: parts["listed"] for record, (parts, _) in told.items() if parts}
    return {
        "distribution": first.dist,
        "version": first.version,
        "summary": summary,
        "home_page": home or next(iter(pages.values()), ""),
        "plugins": [_plugin(record, selection, *told.get(record, (None, ""))) for record in records],
        **{title: [item for listed in modules.values() for item in listed[title]] for title in LISTINGS},
    }


def described(command: str, named: Sequence[str], selection: PluginSelection) -> dict[str, Any]:
    """`describe_distribution` of what a user names for `command`. Raises UserError where nothing, or more than one, is called
    so, and where nothing is named."""
    if not named:
        raise UserError(f"{command}: name a plugin or a distribution, such as maze (arl plugins list has them)")
    return describe_distribution(find_records(named[0], selection), selection)


def _headers(record: PluginRecord) -> dict[str, str]:
    """The distribution's metadata by lower-case name; `Project-URL: Homepage, https://...` as "project-url homepage"."""
    try:
        lines = header_lines(distribution(record.dist))
    except (PackageNotFoundError, OSError, ValueError):
        return {}  # unreadable: the record's status says so
    headers: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        if key.lower() == "project-url":
            label, _, value = value.partition(",")
            key = f"project-url {re.sub('[^a-z]', '', label.lower())}"
        headers.setdefault(key.lower(), value.strip())
    return headers


def _plugin(record: PluginRecord, selection: PluginSelection, parts: dict[str, Any] | None, error: str) -> dict[str, Any]:
    """One entry point: its status (known by now: it was imported if it is usable) and the family behind it."""
    status, error = ("broken", error) if error else (record.status, record.error)
    return {
        "name": record.name,
        "status": status,
        "error": error,
        "module": record.target,
        "prefixes": own_prefixes(record, selection),
        "family": parts["family"] if parts else None,
        "extension": parts["extension"] if parts else [],
    }


def provided(record: PluginRecord) -> dict[str, Any]:
    """What a plugin provides, as data. Imports it; raises UserError where that fails."""
    plugin = load(record)
    return {
        "extension": [hook for hook in EXTENSION_HOOKS if hook in plugin.hooks],
        "family": _family(record) if provides_environments(plugin) else None,
        "listed": {title: _listed(record, hook) for title, hook in LISTINGS.items()},
    }


def _family(record: PluginRecord) -> dict[str, Any]:
    family = family_description(record)
    start = f"{record.dist}::" if record.status == "conflict" else ""
    begins = tuple(own_prefixes(record))
    variants = [
        {
            "id": f"{start}{family.name}:{spec.id}",
            "summary": spec.summary,
            "default": spec.id == family.default_variant,
            "also_called": [
                alias if alias.startswith(begins) else f"{start}{family.name}:{alias}"  # as --env takes it
                for alias, variant in family.aliases.items()
                if variant == spec.id
            ],
            "vectorised": spec.vector_maker is not None,
            "max_episode_steps": spec.max_episode_steps,
        }
        for spec in family.variants
    ]
    return {
        "name": family.name,
        "summary": family.summary,
        "docs_url": family.docs_url,
        "open_ended": family.resolver is not None,
        "variants": variants,
        "options": _options(options_model(family)),
        "encoder": family.encoder,
        "wrappers": [_wrapper(ref) for ref in family.wrappers],
        "defaults_changed": _defaults_changed(record, family),
    }


def _wrapper(ref: WrapperRef) -> dict[str, Any]:
    return {"name": ref.name, "options": dict(ref.options), "when": dict(ref.when)}


def wrapper_text(wrapper: Mapping[str, Any]) -> str:
    """A family's wrapper in words."""
    given = [f"{name} = {shown(value)}" for name, value in wrapper["options"].items()]
    where = [f"where {name} = {shown(value)}" for name, value in wrapper["when"].items()]
    return str(wrapper["name"]) + (f" ({', '.join([*given, *where])})" if given or where else "")


def default_text(option: Mapping[str, Any]) -> str:
    """An option's default in words; "" for one that is nothing, "required" for one that has none."""
    if option["required"]:
        return "required"
    return "" if option["default"] in (None, "", [], {}) else shown(option["default"])


def _options(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    """The options that a model has; `required` ones have no default."""
    options = []
    for name, field in (model.model_fields if model else {}).items():
        default = field.get_default(call_default_factory=True)
        options.append(
            {
                "name": name,
                "type": kind(field.annotation),
                "required": default is PydanticUndefined,
                "default": None if default is PydanticUndefined else to_jsonable_python(default),
                "description": field.description or "",
            }
        )
    return options


def _defaults_changed(record: PluginRecord, family: EnvFamily) -> list[dict[str, Any]]:
    """Fields that the family's runs begin with another value of: `environments` (empty: all) and `changes`."""
    algorithm, core = RunConfig.model_fields["algo"].default, core_defaults()
    changes: dict[str, dict[str, Any]] = {}
    for spec in family.variants:
        env = f"{family.name}:{spec.id}"
        layer = overrides_of(record, family, env, algorithm)
        values = {canonical_field(name, record.owner): value for name, value in (layer.values if layer else {}).items()}
        changes[env] = {name: [core[name], to_jsonable_python(value)] for name, value in values.items() if core[name] != value}
    shared = _shared(changes.values())
    groups: list[dict[str, Any]] = [{"environments": [], "changes": shared}] if shared else []
    for env, changed in changes.items():
        own = {name: change for name, change in changed.items() if name not in shared}
        same = [group for group in groups if group["environments"] and group["changes"] == own]
        if same:
            same[0]["environments"].append(env)
        elif own:
            groups.append({"environments": [env], "changes": own})
    return groups


def _shared(changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of them have, with the same value."""
    first, *others = [*changes] or [{}]
    return {name: change for name, change in first.items() if all(other.get(name) == change for other in others)}


def _listed(record: PluginRecord, hook: str) -> list[dict[str, Any]]:
    """A listing hook's descriptions, as data; the options of those that name a model of them, one by one."""
    items = load(record).described(hook, described_type(hook) or object)
    return [to_jsonable_python(asdict(item), fallback=repr) | _own_options(item) for item in items]


def _own_options(item: Any) -> dict[str, Any]:
    reference = getattr(item, "options", None)
    return {"options": _options(import_model(reference, f"'{item.name}'"))} if reference else {}
