"""Which plugins a run may use: one small value that every look-up is given. Imports the standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arl_core.config.layers import ResolvedConfig

CORE = "arl-core"
SELECTION_FIELDS = frozenset({"plugins_allow", "plugins_block", "plugins_prefer", "plugins_require"})


def normalized(dist: str) -> str:
    """A distribution's name as package indexes compare them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", dist).lower()


@dataclass(frozen=True)
class PluginSelection:
    """Distributions that are not used (`block`), the only ones that are, the core aside (`allow`: distributions or plugins;
    None is all), those that win where two claim one name (`prefer`, the first first), and requirements that must be
    satisfied for a run to begin (`require`, PEP 508). The settings' names are for messages."""

    block: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    prefer: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    block_setting: str = "plugins_block"
    allow_setting: str = "plugins_allow"
    require_setting: str = "plugins_require"

    def exclusion(self, name: str, dist: str) -> str:
        """Which setting excludes plugin `name` of `dist`, as a sentence; "" where it may be used."""
        distribution = normalized(dist)
        if distribution in map(normalized, self.block):
            return f"{dist} is excluded by {self.block_setting}"
        if self.allow is None or distribution == CORE:
            return ""
        if name in self.allow or distribution in map(normalized, self.allow):
            return ""
        return f"{dist} is excluded: {self.allow_setting} does not name it"

    def preferred(self, dists: list[str]) -> str | None:
        """The one of `dists` that wins a name that all of them claim."""
        by_name = {normalized(dist): dist for dist in dists}
        return next((by_name[key] for key in map(normalized, self.prefer) if key in by_name), None)


ALL = PluginSelection()


def selection_of(resolved: ResolvedConfig) -> PluginSelection:
    """The selection that a configuration asks for."""
    config = resolved.config

    def setting(field: str) -> str:
        origin = resolved.origin(field)
        variable = ", ARL_PLUGINS" if (field, origin) == ("plugins_allow", "environment variables") else ""
        return f"{field} (from {origin}{variable})"

    return PluginSelection(
        block=tuple(config.plugins_block),
        allow=None if config.plugins_allow is None else tuple(config.plugins_allow),
        prefer=tuple(config.plugins_prefer),
        require=tuple(config.plugins_require),
        block_setting=setting("plugins_block"),
        allow_setting=setting("plugins_allow"),
        require_setting=setting("plugins_require"),
    )
