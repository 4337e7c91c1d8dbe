"""Import one plugin, register it with pluggy, and keep its failure its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from arl_core.config.layers import nearest
from arl_core.hookspecs import HOOK_NAMES, PROJECT, ArlHooks
from arl_core.interfaces import UserError
from arl_core.registry.discovery import PluginRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin. Its hooks are called alone, so every result has an owner."""

    record: PluginRecord
    module: ModuleType

    def call(self, hook: str, **arguments: Any) -> Any:
        """This plugin's result of `hook`, or None where it has none. Raises UserError that names the plugin."""
        others = [plugin for plugin in _manager().get_plugins() if plugin is not self.module]
        try:
            results = _manager().subset_hook_caller(hook, others)(**arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{self.record.owner}: {hook} raised {cause(error)}") from error
        return results[0] if results else None

    def described(self, hook: str, kind: type[T]) -> tuple[T, ...]:
        """The descriptions that a listing hook returns. Raises UserError for anything that is not a `kind`."""
        result = self.call(hook)
        if result is None:
            return ()
        if not isinstance(result, Iterable):
            raise UserError(f"{self.record.owner}: {hook} returned {result!r}, not a list of {kind.__name__}")
        items = tuple(result)
        for item in items:
            if not isinstance(item, kind):
                raise UserError(f"{self.record.owner}: {hook} returned {item!r}, not {kind.__name__}")
        return items


_loaded: dict[tuple[str, str], ModuleType] = {}


def load(record: PluginRecord) -> Plugin:
    """Import the plugin behind `record`. Raises UserError that names distribution, version and cause."""
    key = (record.dist, record.target)
    if key not in _loaded:  # only what loaded is kept: a failure is found, and told, again
        module = _import(record)
        _register(module, record)
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


def _import(record: PluginRecord) -> ModuleType:
    try:
        return import_module(record.target)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"environment '{record.name}': {record.owner} failed to import ({record.target}): {cause(error)}. "
            f"Other environments still work. To see it whole: python -c 'import {record.target}'"
        ) from error


def _register(module: ModuleType, record: PluginRecord) -> None:
    manager = _manager()
    try:
        manager.register(module, f"{record.dist}:{record.name}")
        _check_hook_names(module)
        manager.check_pending()
    except Exception as error:
        if manager.is_registered(module):
            manager.unregister(module)
        reason = str(error) if isinstance(error, UserError) else cause(error)
        raise UserError(
            f"environment '{record.name}': {record.owner} is not a valid plugin ({record.target}): {reason}. "
            f"Other environments still work"
        ) from error


def _check_hook_names(module: ModuleType) -> None:
    """A misspelt or unmarked hook would be silently never called."""
    for name, value in vars(module).items():
        marked = isinstance(getattr(value, f"{PROJECT}_impl", None), dict)
        if marked and name not in HOOK_NAMES:
            raise UserError(f"no hook '{name}'.{nearest(name, HOOK_NAMES)}")
        if name in HOOK_NAMES and callable(value) and not marked:
            raise UserError(f"'{name}' lacks @hookimpl (from arl_core.hookspecs import hookimpl)")


def cause(error: BaseException) -> str:
    """An exception on one line: its type and what it says, shortened."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {textwrap.shorten(text, 300)}" if text else type(error).__name__
