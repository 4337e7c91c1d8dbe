"""What plugins describe must travel, name code that exists, and be complete."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from arl_core.config.layers import nearest
from arl_core.envs.make import resolved_from_json, resolved_to_json
from arl_core.interfaces import EncoderSpec, EnvFamily, EnvSpec, UserError, WrapperSpec, load_object
from arl_core.registry.catalog import encoder_maker, family_description, owned_name, wrapper_maker
from arl_core.registry.loading import cause
from arl_core.registry.options import options_model
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import ALGORITHM, Subject

_REFERENCE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
_TEXT = {"id", "name", "summary", "default_variant", "encoder", "docs_url"}  # fields that name no code
# how code is called: positional arguments, keyword arguments (a variant's own `kwargs` are added)
_CALLS: dict[tuple[type, str], tuple[int, tuple[str, ...]]] = {
    (EnvSpec, "maker"): (0, ("options", "context")),
    (EnvSpec, "vector_maker"): (0, ("options", "contexts")),
    (EnvFamily, "resolver"): (1, ()),
    (EncoderSpec, "maker"): (2, ()),
    (WrapperSpec, "maker"): (1, ()),
}


def _descriptions(subject: Subject) -> list[Any]:
    variants = [spec for family in subject.families for spec in family.variants]
    return [*subject.families, *variants, *subject.encoders, *subject.wrappers]


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


def _check_call(reference: Any, what: str, call: tuple[int, tuple[str, ...]] | None, kwargs: Mapping[str, Any]) -> None:
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
    positional, keywords = call
    # wrappers have options of their own, which a run gives: their first argument alone is looked at
    bind = signature.bind if keywords or positional > 1 else signature.bind_partial
    try:
        bind(*[None] * positional, **dict.fromkeys(keywords), **kwargs)
    except TypeError as error:
        called = ", ".join([*(["..."] * positional), *(f"{name}=..." for name in (*keywords, *kwargs))])
        raise CheckFailed(f"{reference}{signature} is called as ({called}): {error}") from error


@rule("descriptions.options", 'use Field(default, description="...") for each option of a pydantic model')
def options(subject: Subject) -> Result:
    """The options model refuses what it does not know, explains every option, and has a default for each."""
    if subject.family is None or subject.family.options is None:
        return skip("has no options")
    model = options_model(subject.family)
    assert model is not None
    name = model.__name__
    if subject.is_core:
        return skip(f"{name} takes what a constructor takes")
    if model.model_config.get("extra") != "forbid":
        raise CheckFailed(f"{name} accepts options that it does not know", 'model_config = ConfigDict(extra="forbid")')
    for option, field in model.model_fields.items():
        if field.is_required():
            raise CheckFailed(f"{name}.{option} has no default: --env {subject} alone would be an error")
        if not field.description:
            raise CheckFailed(f"{name}.{option} has no description: --help cannot explain it")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", option):
            raise CheckFailed(f"{name}.{option} is not lower case with underscores, so it is no flag")
    _options_round_trip(model)
    return ok(", ".join(model.model_fields))


def _options_round_trip(model: type[BaseModel]) -> None:
    defaults = model()
    dumped = defaults.model_dump(mode="json")
    _json_round_trip(dumped, f"{model.__name__}'s defaults")
    if model.model_validate(dumped) != defaults:
        raise CheckFailed(f"{model.__name__}'s defaults are others after JSON: use types that JSON keeps")


@rule("descriptions.variants", "name what the family has")
def variants(subject: Subject) -> Result:
    """Variants, the default one, aliases, encoder and wrappers name each other rightly."""
    if not subject.families:
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
        wrapper_maker(owned_name(subject.record, reference.name))
    return ok(f"{len(ids)} variants, {len(family.aliases)} aliases", _unexplained(family))


def _known(target: str | None, ids: Iterable[str], what: str, family: EnvFamily) -> None:
    if target is not None and target not in ids and family.resolver is None:
        raise CheckFailed(f"{what} is no variant: '{target}'.{nearest(target, ids)}")


def _unexplained(family: EnvFamily) -> tuple[str, ...]:
    silent = [family.name] if not family.summary else []
    silent += [f"{family.name}:{spec.id}" for spec in family.variants if not spec.summary]
    return (f"no summary: {', '.join(silent[:4])}{' ...' if len(silent) > 4 else ''}",) if silent else ()


def _variant_names(subject: Subject) -> list[str]:
    described = [spec.id for spec in subject.family.variants] if subject.family else []
    return list(dict.fromkeys([*described, *(variant.name for variant in subject.variants)]))


@rule("descriptions.resolve", "see the message", essential=True)
def resolution(subject: Subject) -> Result:
    """Every variant resolves to what a worker receives, which pickles and round-trips through JSON."""
    names = _variant_names(subject)
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
    if not names:
        return skip("has no variants")
    changed: set[str] = set()
    users_own: set[str] = set()
    for name in names:
        resolved = subject.resolve(name)
        values = subject.plugin.call("arl_param_overrides", env=resolved.id, algo=ALGORITHM) or {}
        try:
            subject.config(resolved)
        except UserError as error:
            raise CheckFailed(f"for '{resolved.id}': {error}") from error
        _json_round_trip(dict(values), f"arl_param_overrides for '{resolved.id}'")
        changed |= set(values)
        users_own |= set(values) & {"seed", "experiment", "train_dir", "plugins_block"}
    notes = (f"sets what is the user's to choose: {', '.join(sorted(users_own))}",) if users_own else ()
    return ok(", ".join(sorted(changed)) or "changes no defaults", notes)


DESCRIPTIONS = (plain, code, options, variants, resolution, overrides)
