"""Where layers come from besides Python: a YAML file, `ARL_*` environment variables, text typed on the command line."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal, TextIO, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from arl_core.config.layers import Layer, canonical_field, check_moot, nearest
from arl_core.config.schema import LEGACY_NAMES, RunConfig
from arl_core.interfaces import UserError

ENVIRONMENT_PREFIX = "ARL_"
ALLOW_VARIABLE = "ARL_PLUGINS"  # short for ARL_PLUGINS_ALLOW


class Text(str):
    """A value as typed on the command line or in an environment variable: what it means depends on the field's type."""

    __slots__ = ()


NO_VALUE = Text("true")  # this very object: an option of an environment was named, and no value followed


def typed(text: str, annotation: Any, where: str) -> Any:
    """What `text` means for a field of type `annotation`.

    Text where text is allowed, the choice of a Literal or an Enum that reads so, None for "none" where None is allowed, YAML
    for lists and mappings (and where the type says nothing). Numbers and switches stay text, for pydantic. Raises UserError,
    which begins with `where`.
    """
    kinds = alternatives(annotation)
    if text is NO_VALUE and bool not in kinds and Any not in kinds:
        raise UserError(f"--{where} needs a value")
    if str in kinds:
        return str(text)
    choices = {str(choice): choice for kind in kinds for choice in choices_of(kind)}
    if text in choices:
        return choices[text]
    if type(None) in kinds and text.lower() in {"none", "null"}:
        return None
    if Any in kinds or not all(_is_scalar(kind) for kind in kinds):
        return parse_yaml(text, where)
    return _as_whole(text) if int in kinds else str(text)


def _as_whole(text: str) -> int | str:
    """1e6 as the whole number that it is; other text as it stands."""
    try:
        number = float(text) if "e" in text.lower() else 0.5
    except ValueError:
        return str(text)
    return int(number) if number.is_integer() else str(text)


def parse_yaml(text: str, where: str) -> Any:
    """One YAML value; numbers such as 1e-3 are numbers. Text that is not YAML stays text, but for a list or mapping that is
    broken. Raises UserError, which begins with `where`."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        if text.lstrip().startswith(("[", "{")):
            problem = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "problem", None) or error
            raise UserError(f"{where}: not JSON or YAML: {problem}, got '{shorten(text, 80)}'") from None
        return str(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def field_value(name: str, text: str, where: str) -> Any:
    """`typed` for the configuration's field `name`."""
    return typed(text, RunConfig.model_fields[name].annotation, where)


def yaml_layer(path: str | Path) -> Layer:
    """The values of a YAML file. Raises UserError that names file, line and key."""
    try:
        with open(path, encoding="utf-8") as file:
            values = _load_unique(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not YAML: cannot be decoded") from error
    except ValueError as error:
        raise UserError(f"{path}: a date or number that is none: {error}. Write text in quotes") from error
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not YAML: {getattr(error, 'problem', None) or 'cannot be decoded'}") from error
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: must be a mapping of configuration fields, such as 'gamma: 0.99'")
    fields: dict[str, Any] = {}
    for name, value in _flat(values, str(path)).items():
        field = canonical_field(name, str(path), value)
        if field in fields:
            raise UserError(f"{path}: '{field}' is there twice, one time as '{name}'")
        is_whole = isinstance(value, str) and int in alternatives(RunConfig.model_fields[field].annotation)
        fields[field] = _as_whole(value) if is_whole else value
    return Layer(str(path), fields)


def _load_unique(file: TextIO) -> Any:
    """`yaml.safe_load`, which lets the last of equal keys win. Raises YAMLError for those."""
    loader = yaml.SafeLoader(file)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node, seen: set[int]) -> None:
    """Raises YAMLError where a key stands twice in a mapping; `seen`: nodes that were checked (aliases lead to them again)."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    keys: set[tuple[str, str]] = set()
    for each in node.value:
        parts = each if isinstance(each, tuple) else (each,)
        if isinstance(each, tuple) and isinstance(each[0], yaml.ScalarNode):
            key = each[0]
            if (key.tag, key.value) in keys:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' is there twice", problem_mark=key.start_mark)
            keys.add((key.tag, key.value))
        for part in parts:
            _check_keys(part, seen)


def _flat(values: Mapping[Any, Any], origin: str) -> dict[str, Any]:
    """Fields by name: `plugins: {block: [...]}` is `plugins_block: [...]`. Raises UserError for one that is there twice."""
    flat = {str(name): value for name, value in values.items()}
    nested = flat.pop("plugins", {})
    if not isinstance(nested, Mapping):
        raise UserError(f"{origin}: plugins: must be a mapping, such as {{block: [acme-maze]}}, got {nested!r}")
    choices = [name.removeprefix("plugins_") for name in RunConfig.model_fields if name.startswith("plugins_")]
    for name, value in nested.items():
        if name not in choices:
            hint = nearest(str(name), choices) or f" It has: {', '.join(choices)}"
            raise UserError(f"{origin}: plugins: no setting '{name}'.{hint}")
        field = f"plugins_{name}"
        if field in {given.replace("-", "_") for given in flat}:
            raise UserError(f"{origin}: '{field}' is there twice, the other time as 'plugins: {{{name}: ...}}'")
        flat[field] = value
    return flat


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The `ARL_*` variables: `ARL_NUM_WORKERS=4`; `ARL_PLUGINS=maze,gridworld` is short for `ARL_PLUGINS_ALLOW`.

    Raises UserError for one that names no field.
    """
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable == ALLOW_VARIABLE:
            if f"{ALLOW_VARIABLE}_ALLOW" in environ:
                raise UserError(f"environment variables {ALLOW_VARIABLE} and {ALLOW_VARIABLE}_ALLOW mean the same: set one")
            values["plugins_allow"] = environ[variable]  # names and commas; an empty text allows none
            continue
        lower = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        name = LEGACY_NAMES.get(lower, lower)
        check_moot(name, f"environment variable {variable}: ")
        if name not in RunConfig.model_fields:
            hint = nearest(name.upper(), map(str.upper, RunConfig.model_fields)).replace("'", f"'{ENVIRONMENT_PREFIX}", 1)
            own = f" Options of the environment: {ENVIRONMENT_PREFIX}ENV_OPTIONS='{{name: value}}'"
            raise UserError(f"environment variable {variable}: no such configuration field.{hint or own}")
        values[name] = field_value(name, environ[variable], f"environment variable {variable}")
    return Layer("environment variables", values)


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union, without `Annotated`; a type's own name otherwise."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in alternatives(member)]
    return [annotation]


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The values among which a type lets one choose, as they are written: those of a Literal or an Enum."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(member.value for member in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()


def _is_scalar(kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return True
    return (
        isinstance(kind, type)
        and get_origin(kind) is None
        and not issubclass(kind, (list, tuple, dict, set, frozenset, BaseModel))
    )
