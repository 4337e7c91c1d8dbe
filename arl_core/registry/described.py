"""Whether what a plugin describes has values of the types that its fields promise: dataclasses themselves never look."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def misfit(description: Any) -> str:
    """What speaks against a description, or one inside it; nothing: an empty text."""
    kind: Any = type(description)
    for field in fields(description):
        value = getattr(description, field.name)
        if _fits(value, _hints(kind)[field.name]):
            inner = value if isinstance(value, tuple | list) else ()
            told = next(filter(None, (misfit(each) for each in inner if is_dataclass(each))), "")
            if told:
                return told
            continue
        whose = f"the {field.name} of {kind.__name__} '{getattr(description, 'name', None) or description.id}'"
        shown = textwrap.shorten(repr(value), 120)
        if callable(value):
            return f"{whose} is {shown}, not 'module:attribute': workers import code by its name"
        return f"{whose} is {shown}, not {field.type}"
    return ""


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint`, one of those that descriptions have; a list will do for a tuple. What mappings
    hold is checked where it becomes JSON."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(_fits(value, each) for each in arguments)
    if origin is tuple:
        return isinstance(value, tuple | list) and all(_fits(each, arguments[0]) for each in value)
    kind = origin or hint
    return isinstance(value, kind) if isinstance(kind, type) else True  # a subclass of a plugin's may have other fields
