"""An environment's own options: given as text or values, checked by the family's pydantic model, kept as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from arl_core.config.layers import complaint, nearest
from arl_core.config.sources import Text, alternatives, typed
from arl_core.interfaces import JSON, EnvFamily, UserError
from arl_core.registry.loading import load_named


def options_model(family: EnvFamily) -> type[BaseModel] | None:
    """The family's options model, imported. Raises UserError where it cannot be, or is no pydantic model."""
    return None if family.options is None else import_model(family.options, f"environment '{family.name}'")


def import_model(reference: str, owner: str) -> type[BaseModel]:
    """The options model that `owner` names as `"module:attribute"`. Raises UserError as `options_model`."""
    model = load_named(reference, f"{owner}: its options ({reference})")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise UserError(f"{owner}: its options ({reference}) are not a pydantic model")
    return model


def plain_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by field name: dashes are allowed in what a user writes."""
    return {str(name).replace("-", "_"): value for name, value in given.items()}


def named_entry(setting: str, entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and options of an entry `{"name": ..., "options": {...}}` of the list `setting`. Raises UserError."""
    unknown = sorted(set(entry) - {"name", "options"})
    if unknown or not isinstance(entry.get("name"), str) or not isinstance(entry.get("options", {}), Mapping):
        raise UserError(f'{setting}: expected {{"name": ..., "options": {{...}}}}, got {dict(entry)!r}')
    return entry["name"], plain_names(entry.get("options", {}))


def validated(family: EnvFamily, given: Mapping[str, Any]) -> dict[str, JSON]:
    """Every option of the family, defaults included, as JSON. Raises UserError that names option and nearest choice."""
    model = options_model(family)
    values = plain_names(given)
    if model is None:
        if values:
            raise UserError(f"environment '{family.name}' has no options, got '{family.name}.{next(iter(values))}'")
        return {}
    return checked(values, model, f"options of '{family.name}'", f"{family.name}.")


def checked(values: Mapping[str, Any], model: type[BaseModel], owner: str, prefix: str = "") -> dict[str, JSON]:
    """`values` as `model` takes them, defaults included, as JSON. Raises UserError with the nearest name for a wrong one;
    `prefix` is what users write before an option's name."""
    fields = model.model_fields
    typed_values = {
        name: typed(value, fields[name].annotation if name in fields else Any, f"{prefix}{name}")
        if isinstance(value, Text)
        else value
        for name, value in values.items()
    }
    try:
        return dict(model.model_validate(typed_values).model_dump(mode="json"))
    except ValidationError as error:
        raise UserError(_one_line(error, owner, prefix, model)) from None


def of_part(what: str, given: dict[str, Any], model: str | None, makers: Mapping[str | None, int]) -> dict[str, JSON]:
    """Options of a wrapper or a loss: as its options model takes them; without one, checked against the signatures of its
    makers, each with the number of arguments that the core gives it. The makers are imported. Raises UserError, which begins
    with `what`."""
    targets = [(load_named(maker, f"{what} ({maker})"), count) for maker, count in makers.items() if maker is not None]
    if model is not None:
        return checked(given, import_model(model, what), what)
    for target, count in targets:
        check_keywords(target, given, what, count)
    return given


def _one_line(error: ValidationError, owner: str, prefix: str, model: type[BaseModel]) -> str:
    # what is not known first: it may be what is missing, misspelt
    first, *others = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    alike = [each for each in others if each["loc"][:1] == first["loc"][:1]]
    if alike and len(_forms(model, first["loc"][0])) > 1:  # none of its forms fits: pydantic names each in the location
        first = next((each for each in alike if "Did you mean" in complaint(each)), first)
        first["loc"] = first["loc"][:1]
    inner = ".".join(str(part) for part in first["loc"])
    location = f"{prefix}{inner}" if prefix else f"{owner}: {inner}"
    if first["type"] == "extra_forbidden":
        names = _names_beside(model, first["loc"])
        outer = "".join(f"{part}." for part in first["loc"][:-1])
        hint = nearest(str(first["loc"][-1]), names).replace("mean '", f"mean '{prefix}{outer}")
        has = f" '{prefix}{outer[:-1]}' has" if outer else " It has"
        listing = hint or (f"{has}: {', '.join(names)}" if names else f"{has} none")
        return f"no option '{location}'.{listing}" if prefix else f"{owner} has no option '{inner}'.{listing}"
    if first["type"] == "missing":
        return f"{location} is missing: it has no default"
    if not first["loc"]:
        return f"{owner}: {first['msg'].removeprefix('Value error, ')}"
    return f"{location}: {complaint(first)}"


def _forms(model: type[BaseModel], name: int | str) -> list[Any]:
    """The types that an option may have, None aside."""
    field = model.model_fields.get(str(name))
    return [kind for kind in alternatives(field.annotation) if kind is not type(None)] if field is not None else []


def _names_beside(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The options among which the last part of `location` is none: those of `model`, or of a model inside it."""
    for part in location[:-1]:
        forms = _forms(model, part)
        if len(forms) != 1 or not (isinstance(forms[0], type) and issubclass(forms[0], BaseModel)):
            return []
        model = forms[0]
    return list(model.model_fields)


def check_keywords(target: Callable[..., Any], names: Iterable[str], what: str, count: int = 0) -> None:
    """Raise UserError for a keyword argument that `target` would not accept beside `count` arguments by position."""
    try:
        parameters = dict([*inspect.signature(target).parameters.items()][count:])
    except (TypeError, ValueError):
        return  # a callable without a signature (written in C) checks its own arguments
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    accepted = [name for name, p in parameters.items() if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    for name in names:
        if name not in accepted:
            listing = f" It takes: {', '.join(accepted)}" if accepted else " It takes none"
            raise UserError(f"{what} takes no option '{name}'.{nearest(name, accepted) or listing}")
