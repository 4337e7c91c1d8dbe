"""Options whose values can be listed: what else an environment may look like than by default."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from arl_core.registry.options import options_model
from arl_core.testing.subject import Variant

MOST = 12  # of an option with many choices, the first ones


def with_choices(variant: Variant) -> list[Variant]:
    """The variant with each other value of an option that is a Literal or a bool, one at a time."""
    family = variant.subject.family
    model = options_model(family) if family is not None else None
    choices = [] if model is None else _choices(model)
    return [Variant(variant.subject, variant.name, {name: value}) for name, value in choices]


def _choices(model: type[BaseModel]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        values: tuple[Any, ...] = ()
        if get_origin(field.annotation) is Literal:
            values = get_args(field.annotation)
        elif field.annotation is bool:
            values = (True, False)
        found += [(name, value) for value in values[:MOST] if value != default]
    return found
