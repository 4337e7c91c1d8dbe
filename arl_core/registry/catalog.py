"""What plugins provide, environments aside: overrides, encoders, wrappers. Only the plugin that is named is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from arl_core.config.layers import Layer, canonical_field, nearest
from arl_core.hookspecs import EXTENSION_HOOKS
from arl_core.interfaces import (
    AlgorithmSpec,
    EncoderSpec,
    EnvFamily,
    LossSpec,
    ModelSpec,
    ResolvedEnv,
    UserError,
    WrapperSpec,
)
from arl_core.registry.discovery import PluginRecord, plugin_records
from arl_core.registry.known import KNOWN_PARTS
from arl_core.registry.loading import Plugin, check_makers, fault, load
from arl_core.registry.local import part_target
from arl_core.registry.names import spell
from arl_core.registry.provenance import LOCAL
from arl_core.registry.selection import ALL, CORE, SELECTION_FIELDS, PluginSelection

S = TypeVar("S", EncoderSpec, WrapperSpec, ModelSpec, AlgorithmSpec, LossSpec)
# fields that decide which plugins are asked and what for: settled before any of them answers
NAMING_FIELDS = frozenset({"env", "algo", "env_options", "wrappers", "extensions"}) | SELECTION_FIELDS


def family_description(record: PluginRecord) -> EnvFamily:
    """The family that `record` promises. Raises UserError where its plugin does not deliver it."""
    plugin = load(record)
    families = plugin.described("arl_environments", EnvFamily)
    for family in families:
        if family.name == record.name:
            return family
    if not families and plugin.hooks & set(EXTENSION_HOOKS):
        raise UserError(f"'{record.name}' ({record.owner}) is an extension, not an environment: --extensions {record.name}")
    if not provides_environments(plugin):
        raise UserError(f"'{record.name}' ({record.owner}) has no environments. What it has: arl plugins show {record.name}")
    names = ", ".join(family.name for family in families) or "none"
    raise fault(
        record,
        f"environment '{record.name}': {record.owner} is registered under that name, "
        f"but its arl_environments ({record.target}) describes: {names}",
    )


def provides_environments(plugin: Plugin) -> bool:
    """Whether it must describe a family: it says so, or has no hook at all and so is nothing else either."""
    return not plugin.hooks or "arl_environments" in plugin.hooks


def owner_of(resolved: ResolvedEnv, selection: PluginSelection = ALL) -> PluginRecord:
    """The plugin that resolved an environment."""
    family = resolved.id.partition(":")[0]
    name = f"{resolved.dist}::{family}" if resolved.dist else f"{CORE}::{family}"
    return spell(name, selection).record


def param_overrides(resolved: ResolvedEnv, algo: str, selection: PluginSelection = ALL) -> Layer | None:
    """The defaults that the environment's owner, and nobody else, sets for the run, its family's encoder among them."""
    record = owner_of(resolved, selection)
    return overrides_of(record, family_description(record), resolved.id, algo)


def overrides_of(record: PluginRecord, family: EnvFamily, env: str, algo: str) -> Layer | None:
    """`param_overrides` for `env` ("family:variant") of a plugin's family."""
    values = load(record).call("arl_param_overrides", env=env, algo=algo)
    if values is not None and not isinstance(values, Mapping):
        raise fault(record, f"{record.owner}: arl_param_overrides returned {values!r}, not a mapping of configuration fields")
    merged: dict[str, Any] = {**({"encoder": family.encoder} if family.encoder else {}), **(values or {})}
    if isinstance(merged.get("encoder"), str):
        merged["encoder"] = owned_name(record, merged["encoder"])
    check_settable(record, "arl_param_overrides", merged)
    return Layer(record.owner, merged) if merged else None


def check_settable(record: PluginRecord, what: str, defaults: Iterable[str]) -> None:
    """Raise UserError where `defaults`, of `what` in a plugin, are of fields that no default can set."""
    for name in defaults:
        if canonical_field(name, record.owner) in NAMING_FIELDS:
            raise fault(record, f"{record.owner}: {what} must not set '{name}'")


def owned_name(record: PluginRecord, name: str) -> str:
    """A plugin's "maze/grid" as its own even where another distribution claims "maze": "dist::maze/grid"."""
    own = record.status == "conflict" and name.startswith(f"{record.name}/")
    return f"{record.dist}::{name}" if own else name


def encoder_maker(name: str, selection: PluginSelection = ALL) -> str:
    """`"module:attr"` of an encoder: "mlp" is the core's, "maze/grid" (or "dist::maze/grid") plugin maze's."""
    return named_spec("encoder", "arl_encoders", EncoderSpec, name, selection).maker


def wrapper_spec(name: str, selection: PluginSelection = ALL) -> WrapperSpec:
    """A wrapper by its name: "frame-stack" is the core's, "maze/mirror" plugin maze's, as above."""
    return named_spec("wrapper", "arl_wrappers", WrapperSpec, name, selection)


def algorithm_spec(name: str, selection: PluginSelection = ALL) -> AlgorithmSpec:
    """An algorithm by its name: "appo" is the core's, "maze/planner" plugin maze's, as above."""
    return named_spec("algorithm", "arl_algorithms", AlgorithmSpec, name, selection)


def named_spec(what: str, hook: str, kind: type[S], name: str, selection: PluginSelection) -> S:
    """What a plugin describes under `name`. Raises UserError with the nearest name."""
    if name.startswith(LOCAL) and kind is not WrapperSpec:
        return kind(name=name, maker=part_target(name, what))
    owner, slash, _ = name.partition("/")
    plain = name.rpartition("::")[2]
    if slash:
        plugins: list[str] = sorted({record.name for record in plugin_records(selection)})
        namespace = owner.rpartition("::")[2]
        if namespace not in plugins:
            dist = KNOWN_PARTS.get(namespace)
            hint = f" It is in {dist}: pip install {dist}" if dist else nearest(namespace, [*plugins, *KNOWN_PARTS])
            raise UserError(f"no {what} '{name}': no plugin '{namespace}' is installed.{hint}")
        record = spell(owner, selection).record
    else:
        record = spell(f"{CORE}::gym").record
    specs = load(record).described(hook, kind)
    for spec in specs:
        if spec.name == plain:
            check_makers(record, f"{what} '{name}'", spec)
            if isinstance(spec, AlgorithmSpec):
                check_settable(record, f"the defaults of {what} '{name}'", spec.defaults)
            return spec
    described = [spec.name for spec in specs]
    hint = ("" if slash else _of_namesake(plain, hook, kind, selection)) or nearest(plain, described)
    listing = f" {record.owner} has: {', '.join(described)}" if described else f" {record.owner} has none"
    by_name = "" if kind is WrapperSpec else "is py:my_module:attr, or "
    own = f". One of your own {by_name}comes from a plugin: arl plugins new NAME (docs/hooks/{hook}.md)"
    raise UserError(f"no {what} '{name}'.{hint or listing + own}")


def _of_namesake(name: str, hook: str, kind: type[S], selection: PluginSelection) -> str:
    """A hint for who wrote a plugin's name alone where "plugin/name" was meant; "" where no plugin is called so."""
    for record in plugin_records(selection):
        if record.name == name and record.usable:
            found = [spec.name for spec in load(record).described(hook, kind)]
            return f" Plugin '{name}' has: {', '.join(found)}" if found else ""
    dist = KNOWN_PARTS.get(name)
    return f" It is in {dist}: pip install {dist}" if dist else ""
