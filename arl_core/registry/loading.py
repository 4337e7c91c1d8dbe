"""Import one plugin, register it with pluggy, and keep its failure its own."""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from arl_core.config.layers import nearest
from arl_core.hookspecs import HOOK_NAMES, PROJECT, ArlHooks, hook_arguments
from arl_core.interfaces import UserError, load_object
from arl_core.registry.described import misfit
from arl_core.registry.discovery import PluginRecord

T = TypeVar("T")
_CORE = str(Path(__file__).parents[1])
_LIBRARIES = ("/gymnasium/", "/numpy/", "/torch/", "/pydantic/", "/pluggy/", "/importlib/", "<frozen ")


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin. Its hooks are called alone, so every result has an owner."""

    record: PluginRecord
    module: ModuleType

    @property
    def hooks(self) -> frozenset[str]:
        """The hooks that it implements."""
        return frozenset(caller.name for caller in _manager().get_hookcallers(self.module) or ())

    def call(self, hook: str, **arguments: Any) -> Any:
        """This plugin's result of `hook`, or None where it has none. Raises UserError that names the plugin."""
        try:
            return self.call_unguarded(hook, **arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise fault(self.record, f"{self.record.owner}: {hook} raised {cause(error)}") from error

    def call_unguarded(self, hook: str, **arguments: Any) -> Any:
        """As `call`; raises whatever the hook raises."""
        others = [plugin for plugin in _manager().get_plugins() if plugin is not self.module]
        results = _manager().subset_hook_caller(hook, others)(**arguments)
        return results[0] if results else None

    def described(self, hook: str, kind: type[T]) -> tuple[T, ...]:
        """The descriptions that a listing hook returns. Raises UserError for anything that is not a `kind`."""
        result = self.call(hook)
        if result is None:
            return ()
        if not isinstance(result, Iterable):
            raise fault(self.record, f"{self.record.owner}: {hook} returned {result!r}, not a list of {kind.__name__}")
        items = tuple(result)
        for item in items:
            if not isinstance(item, kind):
                raise fault(self.record, f"{self.record.owner}: {hook} returned {item!r}, not {kind.__name__}")
            if told := misfit(item):
                raise fault(self.record, f"{self.record.owner}: {told}")
        return items


_loaded: dict[tuple[str, str], ModuleType] = {}


def load(record: PluginRecord, what: str = "environment") -> Plugin:
    """Import the plugin behind `record`, named as a `what`. Raises UserError that names distribution, version and cause."""
    key = (record.dist, record.target)
    if key not in _loaded:  # only what loaded is kept: a failure is found, and told, again
        module = _import(record, what)
        if not _manager().is_registered(module):  # two distributions may name one module
            _register(module, record, what)
        _loaded[key] = module
    return Plugin(record, _loaded[key])


def forget(dist: str) -> None:
    """Unregister what was loaded of a distribution: for a process in which distributions come and go."""
    for key in [key for key in _loaded if key[0] == dist]:
        _manager().unregister(_loaded.pop(key))


@cache
def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ArlHooks)
    return manager


def fault(record: PluginRecord, message: str, cure: str = "", what: str = "environment") -> UserError:
    """The error for a plugin that is not as it should be, with what to do; it is the plugin's alone."""
    return UserError(f"{message}\n  {cure}Other {what}s still work. Details: arl plugins check {record.dist}")


def check_makers(record: PluginRecord, what: str, described: Any) -> None:
    """Raises UserError where a maker of `described` is not code's name, `"module:attribute"`, but the code itself, say."""
    for field in ("maker", "vector_maker"):
        value = getattr(described, field, None)
        module, _, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
        if not (module and attribute) and (value is not None or field == "maker"):
            told = f"the {field} of {what} is {value!r}, not 'module:attribute': workers import code by its name"
            raise fault(record, f"{record.owner}: {told}")


def load_named(reference: str, what: str) -> Any:
    """`load_object`. Raises UserError, which begins with `what`, where the import fails."""
    try:
        return load_object(reference)
    except (Exception, SystemExit) as error:
        hint = ""
        if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
            hint = nearest(error.name or "", [name for name in vars(error.obj) if not name.startswith("_")])
        raise UserError(f"{what} cannot be imported: {cause(error)}{'.' if hint else ''}{hint}") from error


def _import(record: PluginRecord, what: str) -> ModuleType:
    try:
        return import_module(record.target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and what extensions written in Rust raise where they panic
        cure = ""
        if ":" in record.target:
            cure = "Its entry point has to name a module, without a colon. "
        elif isinstance(error, ModuleNotFoundError) and f"{record.target}.".startswith(f"{error.name}."):
            cure = "Its entry point is stale: reinstall it (pip install -e . in its folder). "
        told = f"{what} '{record.name}': {record.owner} failed to import ({record.target}): {cause(error)}"
        raise fault(record, told, cure, what) from error


def _register(module: ModuleType, record: PluginRecord, what: str) -> None:
    manager = _manager()
    try:
        _check_hooks(module)
        manager.register(module, f"{record.dist}:{record.name}")
        manager.check_pending()
    except Exception as error:
        if manager.is_registered(module):
            manager.unregister(module)
        reason = str(error) if isinstance(error, UserError) else cause(error)
        told = f"{what} '{record.name}': {record.owner} is not a valid plugin ({record.target}): {reason}"
        raise fault(record, told, what=what) from error


def _check_hooks(module: ModuleType) -> None:
    """A misspelt or unmarked hook would be silently never called; a wrong argument is told with the nearest."""
    for name, value in vars(module).items():
        marked = isinstance(getattr(value, f"{PROJECT}_impl", None), dict)
        if marked and name not in HOOK_NAMES:
            raise UserError(f"no hook '{name}'.{nearest(name, HOOK_NAMES)}")
        if name in HOOK_NAMES and callable(value) and not marked:
            raise UserError(f"'{name}' lacks @hookimpl (from arl_core.hookspecs import hookimpl)")
        if marked and callable(value):
            _check_arguments(name, value)


def _check_arguments(hook: str, function: Callable[..., Any]) -> None:
    known = hook_arguments(hook)
    for name in inspect.signature(function).parameters:
        if name not in known:
            listing = f" It takes: {', '.join(known)}" if known else " It takes none"
            raise UserError(f"hook '{hook}' has no argument '{name}'.{nearest(name, known) or listing}")


def cause(error: BaseException) -> str:
    """An exception on one line: its type and what it says, shortened."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {textwrap.shorten(text, 300)}" if text else type(error).__name__


def place_of(error: BaseException) -> str:
    """ " (file.py:7 in function)" of the plugin's code that raised it, or "" where nobody's but ours did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_CORE)]
    own = [frame for frame in frames if not any(library in frame.filename for library in _LIBRARIES)] or frames
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name})" if own else ""
