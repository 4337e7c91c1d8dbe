"""Which plugins a command that describes no run may use: `ARL_PLUGINS...` and `--no-plugins`, imported cheaply."""

from __future__ import annotations

import os

from arl_core.cli.flags import Parsed
from arl_core.registry.selection import ALL, PluginSelection, selection_of

NO_PLUGINS_FLAG = {"no_plugins": True}  # the flag, for `parse`


def surrounding_selection(parsed: Parsed) -> PluginSelection:
    """The selection of the environment's variables, or none but the core. Raises UserError."""
    if parsed.values.get("no_plugins"):
        return PluginSelection(allow=(), allow_setting="--no-plugins")
    named = {name: value for name, value in os.environ.items() if name.startswith("ARL_PLUGINS")}
    if not named:
        return ALL
    from arl_core.config.layers import merge_layers
    from arl_core.config.sources import environment_layer

    return selection_of(merge_layers([environment_layer(named)]))
