"""Options whose values can be listed: what else an environment may look like than by default."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from arl_core.config.sources import choices_of
from arl_core.registry.options import options_model
from arl_core.testing.subject import Variant

MOST = 12  # of an option with many choices, the first ones


def with_choices(variant: Variant) -> list[Variant]:
    """The variant with each other value of an option that is a Literal, an Enum or a bool, one at a time."""
    family = variant.subject.family
    model = options_model(family) if family is not None else None
    choices = [] if model is None else _choices(model)
    return [Variant(variant.subject, variant.name, {name: value}) for name, value in choices]


def _choices(model: type[BaseModel]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        values = (True, False) if field.annotation is bool else choices_of(field.annotation)
        found += [(name, value) for value in values[:MOST] if value != to_jsonable_python(default, fallback=repr)]
    return found
