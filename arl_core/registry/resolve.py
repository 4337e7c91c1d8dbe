"""From what a user names to what a worker receives: an environment with every question answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from arl_core.config.layers import nearest
from arl_core.interfaces import JSON, EnvFamily, EnvSpec, ResolvedEnv, UserError, WrapperRef, WrapperSpec, load_object
from arl_core.registry.catalog import family_description, owned_name, wrapper_spec
from arl_core.registry.described import misfit
from arl_core.registry.discovery import PluginRecord
from arl_core.registry.loading import cause, check_makers, fault
from arl_core.registry.local import LocalEnvSpec, describe_target
from arl_core.registry.names import Spelling, spell
from arl_core.registry.options import check_keywords, named_entry, of_part, options_model, plain_names, validated
from arl_core.registry.selection import ALL, CORE, PluginSelection


def resolve_env(
    env: Any,
    options: Mapping[str, Any] | None = None,
    wrappers: Sequence[Mapping[str, Any]] = (),
    selection: PluginSelection = ALL,
) -> ResolvedEnv:
    """Resolve `env`: a name (see `registry.names`), a `gymnasium.Env` class, or a callable that returns an environment.

    `options` are the environment's own, as text or values; `wrappers` (`{"name": ..., "options": {...}}`) go around the
    family's, outermost last; plugins that `selection` excludes are not used. Only the plugin that `env` names is
    imported. Raises UserError: unknown name, variant, option or wrapper (with the nearest), conflict, broken plugin.
    """
    spelling = spell(env, selection) if isinstance(env, str) else spell(f"{CORE}::py", selection)
    record = spelling.record
    family = family_description(record)
    spec = _choose(family, spelling) if isinstance(env, str) else describe_target(env)
    check_makers(record, f"'{family.name}:{spec.id}'", spec)
    values = validated(family, options or {})
    local = spec if isinstance(spec, LocalEnvSpec) else LocalEnvSpec(spec.id, spec.maker)
    if local.creator is not None:
        check_keywords(local.creator, values, f"environment '{family.name}:{spec.id}'")
    is_local = local.code is not None or family.name == "py"
    applied = [ref for ref in family.wrappers if all(values.get(name) == value for name, value in ref.when.items())]
    chosen = [family_wrapper(record, ref, selection) for ref in applied] + [_wrapper(entry, selection) for entry in wrappers]
    vector_maker, vector_wrappers, single_because = _vector_form(spec, applied, [wrapper for wrapper, _ in chosen])
    return ResolvedEnv(
        id=f"{family.name}:{spec.id}",
        maker=spec.maker,
        kwargs=_as_json(spec.kwargs, record),
        options_model=family.options if values else None,  # nothing to carry: spare the worker the import of pydantic
        options=values,
        wrappers=tuple((wrapper.maker, given) for wrapper, given in chosen),
        max_episode_steps=spec.max_episode_steps,
        vector_maker=vector_maker,
        vector_wrappers=vector_wrappers,
        dist="" if is_local else record.dist,
        version="" if is_local else record.version,
        imports=local.imports,
        code=local.code,
        single_because=single_because,
    )


def given_options(resolved: ResolvedEnv, options: Mapping[str, Any]) -> dict[str, JSON]:
    """Of the resolved options, those that `options` gave, typed."""
    return {name: resolved.options[name] for name in plain_names(options)}


def _choose(family: EnvFamily, spelling: Spelling) -> EnvSpec:
    """The variant that the spelling means; never another one."""
    variants = {spec.id: spec for spec in family.variants}
    wanted = family.default_variant if spelling.variant is None else spelling.variant
    alias = family.aliases.get(spelling.whole) or family.aliases.get(spelling.variant or "")
    if alias is not None:
        wanted = alias
    if wanted is None:
        raise UserError(f"environment '{family.name}' needs a variant, {family.name}:NAME: {family.summary}")
    if wanted in variants:
        return variants[wanted]
    if family.resolver is not None:
        return _from_resolver(family, wanted, spelling)
    in_full = nearest(wanted, variants).replace("mean '", f"mean '{family.name}:")
    historic = "" if ":" in spelling.whole else nearest(spelling.whole, family.aliases)
    hint = historic or in_full
    listing = f" It has: {', '.join(variants)}" if len(variants) <= 8 else f" arl envs {family.name} lists what it has"
    raise UserError(f"no environment '{spelling.whole}' in '{family.name}' ({spelling.record.owner}).{hint or listing}")


def _from_resolver(family: EnvFamily, variant: str, spelling: Spelling) -> EnvSpec:
    assert family.resolver is not None
    try:
        spec = load_object(family.resolver)(variant)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        owner = spelling.record.owner
        raise UserError(f"environment '{spelling.whole}': {owner}: {family.resolver}: {cause(error)}") from error
    if not isinstance(spec, EnvSpec):
        raise fault(spelling.record, f"{spelling.record.owner}: {family.resolver} returned {spec!r}, not EnvSpec")
    if told := misfit(spec):
        raise fault(spelling.record, f"{spelling.record.owner}: {told}")
    return spec


def listed_variants(family: EnvFamily, record: PluginRecord) -> Mapping[str, str]:
    """What an open-ended family's lister knows at present: variants, and what they are. Raises UserError where it fails."""
    if family.lister is None:
        return {}
    try:
        known = load_object(family.lister)()
    except (Exception, SystemExit) as error:
        raise fault(record, f"{record.owner}: {family.lister}: {cause(error)}") from error
    if not isinstance(known, Mapping):
        raise fault(record, f"{record.owner}: {family.lister} returned {known!r}, not a mapping of variants to what they are")
    return known


def _as_json(kwargs: Mapping[str, JSON], record: PluginRecord) -> dict[str, JSON]:
    """A plugin's keyword arguments, which must survive pickle and JSON."""
    try:
        json.dumps(kwargs := dict(kwargs))
    except (TypeError, ValueError) as error:
        raise fault(record, f"{record.owner}: an environment's kwargs are not JSON: {cause(error)}") from error
    return kwargs


def family_wrapper(
    record: PluginRecord, ref: WrapperRef, selection: PluginSelection = ALL
) -> tuple[WrapperSpec, dict[str, JSON]]:
    """What a family's own wrapper means, and its options checked. Raises UserError."""
    return _wrapper({"name": owned_name(record, ref.name), "options": ref.options}, selection)


def _wrapper(entry: Mapping[str, Any], selection: PluginSelection) -> tuple[WrapperSpec, dict[str, JSON]]:
    """What an entry of the run's `wrappers` means, as `family_wrapper`."""
    name, options = named_entry("wrappers", entry)
    spec = wrapper_spec(name, selection)
    return spec, of_part(f"wrapper '{name}'", options, spec.options, {spec.maker: 1, spec.vector_maker: 2})


def _vector_form(
    spec: EnvSpec, own: Sequence[WrapperRef], wrappers: Sequence[WrapperSpec]
) -> tuple[str | None, tuple[str | None, ...], str]:
    """The vectorised environment's maker, and each wrapper's vector form where it needs one; None, and why, where single
    environments are needed, because a wrapper has none, or stands inside one that the maker has in itself."""
    inside = [ref.in_vector_maker for ref in own] + [False] * (len(wrappers) - len(own))
    forms = [None if is_inside else wrapper.vector_maker for is_inside, wrapper in zip(inside, wrappers, strict=True)]
    if spec.vector_maker is None:
        return None, (), ""
    for wrapper, is_inside, form in zip(wrappers, inside, forms, strict=True):
        if not is_inside and form is None:
            return None, (), f"wrapper '{wrapper.name}' has no vector form"
    if inside != sorted(inside, reverse=True):
        return None, (), "a wrapper stands inside one that the vectorised form has in itself"
    return spec.vector_maker, tuple(forms), ""


def own_options(env: str, selection: PluginSelection = ALL) -> list[str]:
    """The options of the environment `env`, `family.option`, as far as they are known. For hints."""
    try:
        family, _ = describe_family(env, selection)
        model = options_model(family)
    except UserError:
        return []
    return [f"{family.name}.{name}" for name in model.model_fields] if model is not None else []


def describe_family(name: str, selection: PluginSelection = ALL) -> tuple[EnvFamily, str]:
    """The family that `name` names, and its owner as shown to people: for help texts."""
    record = spell(name, selection).record
    return family_description(record), record.owner
