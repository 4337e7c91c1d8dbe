"""What the installed distributions' metadata says about plugins. Imports the standard library only, and no plugin.

Distributions are read one by one rather than through `importlib.metadata.entry_points()`: there, one unreadable
`entry_points.txt` of any package raises for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, distributions

CORE = "arl-core"
PLUGIN_GROUP = "arl.plugins.v1"  # as hookspecs.ENTRY_POINT_GROUP, which cannot be imported here without pluggy
PREFIX_GROUP = "arl.prefixes.v1"


@dataclass(frozen=True)
class PluginRecord:
    """One entry point of one distribution: a plugin's name, known without importing it.

    `status` is "found", "conflict" (the same name from two distributions), "blocked" (by `plugins_block`) or "broken"
    (the metadata cannot be read); `error` says why it is not "found".
    """

    name: str
    dist: str
    version: str
    target: str
    status: str = "found"
    error: str = ""

    @property
    def owner(self) -> str:
        """Distribution and version, as shown to people."""
        return f"{self.dist} {self.version}"


@dataclass(frozen=True)
class Prefix:
    """A historical spelling: names that begin with `text` belong to `family` of `dist`."""

    text: str
    family: str
    dist: str


def normalized(dist: str) -> str:
    """A distribution's name as package indexes compare them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", dist).lower()


def plugin_records(block: Collection[str] = ()) -> tuple[PluginRecord, ...]:
    """Every installed plugin, sorted by name and distribution. `block` names distributions that are not used."""
    blocked = {normalized(dist) for dist in block}
    records = [
        replace(record, status="blocked", error=f"{record.dist} is blocked by plugins_block")
        if normalized(record.dist) in blocked
        else record
        for record in _scan()[0]
    ]
    return tuple(_with_conflicts(records))


def prefixes(block: Collection[str] = ()) -> tuple[Prefix, ...]:
    """Historical spellings, longest first.

    Installing must not redirect another's name: a distribution's prefixes count only for families that it provides
    itself, and not where the core's own already reach.
    """
    usable = {(record.name, record.dist) for record in plugin_records(block) if record.status in {"found", "conflict"}}
    own = [prefix for prefix in _scan()[1] if (prefix.family, prefix.dist) in usable]
    reserved = tuple(prefix.text for prefix in own if prefix.dist == CORE)
    kept = [prefix for prefix in own if prefix.dist == CORE or not prefix.text.startswith(reserved)]
    return tuple(sorted(kept, key=lambda prefix: (-len(prefix.text), prefix.text, prefix.family, prefix.dist)))


def refresh() -> None:
    """Forget what was read: for a process in which distributions come and go."""
    _scan.cache_clear()


@cache
def _scan() -> tuple[tuple[PluginRecord, ...], tuple[Prefix, ...]]:
    records: dict[tuple[str, str], PluginRecord] = {}
    spellings: set[Prefix] = set()
    seen: set[str] = set()
    for distribution in distributions():
        if not _mentions_plugins(distribution):
            continue
        dist, version = _identity(distribution)
        if normalized(dist) in seen:
            continue  # the first one on the path is the one that imports; a second is a stale leftover
        seen.add(normalized(dist))
        try:
            points = list(distribution.entry_points)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's metadata does stays with its record
            reason = f"entry_points.txt cannot be read: {type(error).__name__}: {error}"
            records[dist, dist] = PluginRecord(dist, dist, version, "", "broken", reason)
            continue
        for point in points:
            if point.group == PLUGIN_GROUP:
                records[point.name, dist] = PluginRecord(point.name, dist, version, point.value)
            elif point.group == PREFIX_GROUP:
                spellings.add(Prefix(point.name, point.value, dist))
    ordered = sorted(records.values(), key=lambda record: (record.name, record.dist))
    return tuple(ordered), tuple(spellings)


def _mentions_plugins(distribution: Distribution) -> bool:
    try:
        text = distribution.read_text("entry_points.txt")
    except (OSError, UnicodeDecodeError):
        return False  # nothing to read is nothing that names us; the package's own tools will complain
    return text is not None and "[arl." in text


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Name and version; a distribution without readable metadata is named by its folder."""
    metadata = distribution.metadata
    name = metadata["Name"] if metadata is not None else None
    version = metadata["Version"] if metadata is not None else None
    folder = getattr(getattr(distribution, "_path", None), "name", "unknown")
    return name or folder.rpartition(".")[0] or folder, version or "(no version)"


def _with_conflicts(records: list[PluginRecord]) -> list[PluginRecord]:
    """Mark names that two distributions claim. The core's own are reserved: the other claim alone is in conflict."""
    marked = []
    for record in records:
        rivals = [
            other
            for other in records
            if other.name == record.name and other.dist != record.dist and other.status == record.status == "found"
        ]
        reserved = any(rival.dist == CORE for rival in rivals)
        if rivals and record.dist != CORE:
            owners = f"{CORE} reserves it" if reserved else f"also provided by {', '.join(r.owner for r in rivals)}"
            record = replace(record, status="conflict", error=f"'{record.name}': {owners}")
        marked.append(record)
    return marked
