"""The extensions that a run names: found, imported and checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence

from arl_core.config.layers import nearest
from arl_core.hookspecs import EXTENSION_HOOKS
from arl_core.interfaces import UserError
from arl_core.registry.discovery import PluginRecord, plugin_records
from arl_core.registry.loading import Plugin, fault, load
from arl_core.registry.names import only_record
from arl_core.registry.selection import ALL, PluginSelection


def load_extensions(names: Sequence[str], selection: PluginSelection = ALL) -> tuple[Plugin, ...]:
    """The plugins that `names` ("my-logger", "dist::my-logger") mean, in that order, each once.

    Raises UserError for one that is not installed (with the nearest), not usable, broken, or no extension.
    """
    plugins = [_extension(_find(name, selection)) for name in names]
    return tuple({(plugin.record.dist, plugin.record.target): plugin for plugin in plugins}.values())


def _find(name: str, selection: PluginSelection) -> PluginRecord:
    head, separator, tail = name.partition("::")
    dist, plugin = (head, tail) if separator else ("", name)
    records = plugin_records(selection)
    names = {record.name for record in records}
    if plugin not in names:
        cure = nearest(plugin, names) or " Install it, or leave it out of extensions"
        raise UserError(f"no extension '{name}': no plugin '{plugin}' is installed.{cure}")
    return only_record(plugin, dist, name, records, "extension", "--extensions")


def _extension(record: PluginRecord) -> Plugin:
    plugin = load(record, "extension")
    if plugin.hooks.isdisjoint(EXTENSION_HOOKS):
        told = f"extension '{record.name}': {record.owner} is none ({record.target}): it implements none of "
        raise fault(record, told + ", ".join(EXTENSION_HOOKS), what="extension")
    return plugin
