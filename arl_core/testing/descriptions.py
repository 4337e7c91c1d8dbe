"""What plugins describe must travel, name code that exists, and be complete."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from arl_core.config.layers import nearest
from arl_core.envs.make import resolved_from_json, resolved_to_json
from arl_core.interfaces import (
    AlgorithmSpec,
    EncoderSpec,
    EnvFamily,
    EnvSpec,
    LossSpec,
    ModelSpec,
    UserError,
    WrapperSpec,
    load_object,
)
from arl_core.registry.catalog import (
    encoder_maker,
    family_description,
    owned_name,
    provides_environments,
)
from arl_core.registry.discovery import PREFIX_GROUP, own_prefixes
from arl_core.registry.loading import cause
from arl_core.registry.options import import_model, options_model
from arl_core.registry.resolve import family_wrapper
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import ALGORITHM, Subject

_REFERENCE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
_TEXT = {"id", "name", "summary", "default_variant", "encoder", "docs_url"}  # fields that name no code


class Call(NamedTuple):
    """How the core calls code: positional and keyword arguments (a variant's own `kwargs` are added); with
    `has_options` also keywords that a run gives, which are not known here."""

    positional: int
    keywords: tuple[str, ...] = ()
    has_options: bool = False


_CALLS = {
    (EnvSpec, "maker"): Call(0, ("options", "context")),
    (EnvSpec, "vector_maker"): Call(0, ("options", "contexts")),
    (EnvFamily, "resolver"): Call(1),
    (EnvFamily, "lister"): Call(0),
    (EncoderSpec, "maker"): Call(2),
    (WrapperSpec, "maker"): Call(1, has_options=True),
    (WrapperSpec, "vector_maker"): Call(2, has_options=True),
    (ModelSpec, "maker"): Call(3),
    (AlgorithmSpec, "maker"): Call(0),
    (LossSpec, "maker"): Call(4, has_options=True),
}


def _descriptions(subject: Subject) -> list[Any]:
    variants = [spec for family in subject.families for spec in family.variants]
    parts = [*subject.encoders, *subject.wrappers, *subject.models, *subject.algorithms, *subject.losses]
    return [*subject.families, *variants, *parts]


def _name(description: Any) -> str:
    return f"{type(description).__name__} '{getattr(description, 'name', None) or description.id}'"


@rule("descriptions.plain", "hold strings, numbers, lists and dictionaries only")
def plain(subject: Subject) -> Result:
    """Descriptions pickle and round-trip through JSON."""
    for description in _descriptions(subject):
        try:
            copied = pickle.loads(pickle.dumps(description))
        except Exception as error:
            raise CheckFailed(f"{_name(description)} does not pickle: {cause(error)}") from error
        if copied != description:
            raise CheckFailed(f"{_name(description)} is another one after pickling")
        _json_round_trip(dataclasses.asdict(description), _name(description))
    return ok(f"{len(_descriptions(subject))} descriptions")


def _json_round_trip(value: Any, what: str) -> None:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"{what} is not JSON: {cause(error)}") from error
    if json.loads(text) != _listed(value):
        raise CheckFailed(f"{what} is another one after JSON (keys must be strings, numbers finite)")


def _listed(value: Any) -> Any:
    """Tuples as lists, the form in which JSON gives them back."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


@rule("descriptions.code", "write 'module:attribute', and let it take the arguments that arl_core/interfaces.py states")
def code(subject: Subject) -> Result:
    """Every `module:attribute` can be imported, and called as the core calls it."""
    seen = set()
    for description in _descriptions(subject):
        for field in dataclasses.fields(description):
            value = getattr(description, field.name)
            call = _CALLS.get((type(description), field.name))
            named = isinstance(value, str) and field.name not in _TEXT and _REFERENCE.fullmatch(value)
            if value is None or not (call or named):
                continue
            seen.add(value)
            what = f"{_name(description)}: {field.name}"
            _check_call(value, what, call, getattr(description, "kwargs", {}))
    return ok(f"{len(seen)} places in code")


def _check_call(reference: Any, what: str, call: Call | None, kwargs: Mapping[str, Any]) -> None:
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise CheckFailed(f"{what}={reference!r} is not of the form 'module:attribute'")
    try:
        target = load_object(reference)
    except (Exception, SystemExit) as error:
        raise CheckFailed(f"{what}={reference!r} cannot be imported: {cause(error)}") from error
    if not callable(target):
        raise CheckFailed(f"{what}={reference!r} is not callable, but {target!r}")
    if call is None:
        return
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return  # written in C, it checks its own arguments
    bind = signature.bind_partial if call.has_options else signature.bind
    try:
        bind(*[None] * call.positional, **dict.fromkeys(call.keywords), **kwargs)
    except TypeError as error:
        called = ", ".join([*(["..."] * call.positional), *(f"{name}=..." for name in (*call.keywords, *kwargs))])
        raise CheckFailed(f"{reference}{signature} is called as ({called}): {error}") from error


@rule("descriptions.options", 'use Field(default, description="...") for each option of a pydantic model')
def options(subject: Subject) -> Result:
    """Options models refuse what they do not know, and explain every option; those that need no name have defaults."""
    models = _options_models(subject)
    if not models:
        return skip("has no options")
    if subject.is_core:
        return skip("the core's options take what a constructor takes")
    for whose, model in models:
        _check_options(model, needed=None if whose.startswith("wrapper") else whose)
    return ok(", ".join(option for _, model in models for option in model.model_fields))


def _options_models(subject: Subject) -> list[tuple[str, type[BaseModel]]]:
    """Whose options they are, as a user names it, and the model."""
    family = options_model(subject.family) if subject.family else None
    found = [] if family is None else [(f"--env {subject}", family)]
    parts = [("wrapper", spec) for spec in subject.wrappers] + [("--losses", spec) for spec in subject.losses]
    return found + [
        (f"{what} {spec.name}", import_model(spec.options, f"{what} '{spec.name}'"))
        for what, spec in parts
        if spec.options is not None
    ]


def _check_options(model: type[BaseModel], needed: str | None) -> None:
    """`needed`: what must work without any option; None where that is not asked for."""
    name = model.__name__
    if model.model_config.get("extra") != "forbid":
        raise CheckFailed(f"{name} accepts options that it does not know", 'model_config = ConfigDict(extra="forbid")')
    for option, field in model.model_fields.items():
        if needed is not None and field.is_required():
            raise CheckFailed(f"{name}.{option} has no default: {needed} alone would be an error")
        if not field.description:
            raise CheckFailed(f"{name}.{option} has no description: --help cannot explain it")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", option):
            raise CheckFailed(f"{name}.{option} is not lower case with underscores, so it is no flag")
    if not any(field.is_required() for field in model.model_fields.values()):
        _options_round_trip(model)


def _options_round_trip(model: type[BaseModel]) -> None:
    defaults = model()
    dumped = defaults.model_dump(mode="json")
    _json_round_trip(dumped, f"{model.__name__}'s defaults")
    if model.model_validate(dumped) != defaults:
        raise CheckFailed(f"{model.__name__}'s defaults are others after JSON: use types that JSON keeps")


@rule("descriptions.variants", "name what the family has")
def variants(subject: Subject) -> Result:
    """Variants, the default one, aliases, encoder and wrappers name each other rightly."""
    if not provides_environments(subject.plugin):
        return skip("provides no environments")
    family = family_description(subject.record)
    ids = [spec.id for spec in family.variants]
    if not ids and family.resolver is None:
        raise CheckFailed("the family has neither variants nor a resolver")
    bad = [name for name in ids if not re.fullmatch(r"[\w][\w./-]*", name) or ids.count(name) > 1]
    if bad:
        raise CheckFailed(f"the variant '{bad[0]}' is listed twice, or holds more than letters, digits and - _ . /")
    if family.default_variant is None and ids:
        raise CheckFailed(f"the family has no default variant: --env {subject} is an error", f'default_variant="{ids[0]}"')
    _known(family.default_variant, ids, "default_variant", family)
    for alias, target in family.aliases.items():
        _known(target, ids, f"the alias '{alias}'", family)
    if family.encoder is not None:
        encoder_maker(owned_name(subject.record, family.encoder))
    for reference in family.wrappers:
        family_wrapper(subject.record, reference)
    notes = (*_unexplained(family), *_unreached(subject, family))
    return ok(f"{len(ids)} variants, {len(family.aliases)} aliases", notes)


def _known(target: str | None, ids: Iterable[str], what: str, family: EnvFamily) -> None:
    if target is not None and target not in ids and family.resolver is None:
        raise CheckFailed(f"{what} is no variant: '{target}'.{nearest(target, ids)}")


def _unexplained(family: EnvFamily) -> tuple[str, ...]:
    silent = [family.name] if not family.summary else []
    silent += [f"{family.name}:{spec.id}" for spec in family.variants if not spec.summary]
    return (f"no summary: {', '.join(silent[:4])}{' ...' if len(silent) > 4 else ''}",) if silent else ()


def _unreached(subject: Subject, family: EnvFamily) -> tuple[str, ...]:
    """Who declares prefixes knows that the other aliases are variants by another name."""
    if not family.aliases or own_prefixes(subject.record):
        return ()
    alias = next(iter(family.aliases))
    cure = f'declare how they begin in [project.entry-points."{PREFIX_GROUP}"]'
    return (f"--env {alias} is unknown, {family.name}:{alias} is not: {cure}",)


def _variant_names(subject: Subject) -> list[str]:
    described = [spec.id for spec in subject.family.variants] if subject.family else []
    return list(dict.fromkeys([*described, *(variant.name for variant in subject.variants)]))


@rule("descriptions.resolve", "see the message", essential=True)
def resolution(subject: Subject) -> Result:
    """Every variant resolves to what a worker receives, which pickles and round-trips through JSON."""
    names = _variant_names(subject)
    if not provides_environments(subject.plugin):
        return skip("provides no environments")
    if not names:
        return skip("has no variants to resolve; name one: arl plugins check NAME:VARIANT")
    for name in names:
        resolved = subject.resolve(name)
        if pickle.loads(pickle.dumps(resolved)) != resolved:
            raise CheckFailed(f"'{resolved.id}' is another environment after pickling")
        if resolved_from_json(json.loads(json.dumps(resolved_to_json(resolved)))) != resolved:
            raise CheckFailed(f"'{resolved.id}' is another environment after JSON")
    return ok(f"{len(names)} variants")


@rule("overrides.valid", "the fields and their types: docs/configuration.md, or arl config --env ENV --explain")
def overrides(subject: Subject) -> Result:
    """The plugin's defaults are fields with valid values, for every variant."""
    names = _variant_names(subject)
    changed: set[str] = set()
    for name in names:
        resolved = subject.resolve(name)
        values = subject.plugin.call("arl_param_overrides", env=resolved.id, algo=ALGORITHM) or {}
        try:
            subject.config(resolved)
        except UserError as error:
            raise CheckFailed(f"for '{resolved.id}': {error}") from error
        _json_round_trip(dict(values), f"arl_param_overrides for '{resolved.id}'")
        changed |= set(values)
    users_own = changed & {"seed", "experiment", "train_dir", "plugins_block"}
    notes = (f"sets what is the user's to choose: {', '.join(sorted(users_own))}",) if users_own else ()
    return ok(", ".join(sorted(changed)) or "changes no defaults", notes)


DESCRIPTIONS = (plain, code, options, variants, resolution, overrides)
