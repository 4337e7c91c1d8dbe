"""What the installed distributions' metadata says about plugins. Imports the standard library only, and no plugin.

Distributions are read one by one rather than through `importlib.metadata.entry_points()`: there, one unreadable
`entry_points.txt` of any package raises for all of them. Their headers are read as lines: to parse a long description as
a message takes longer than all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions

from arl_core._version import __version__
from arl_core.registry.selection import ALL, CORE, PluginSelection, normalized

PLUGIN_GROUP = "arl.plugins.v1"
PREFIX_GROUP = "arl.prefixes.v1"
NEWER_GROUP = re.compile(r"arl\.plugins\.(v[2-9]|v[1-9]\d+)")
ON_CORE = re.compile(r"arl[-_.]+core(?![-.\w])\s*(\[[^]]*\])?\s*(?P<bounds>[^;]*)", re.IGNORECASE)


@dataclass(frozen=True)
class PluginRecord:
    """One entry point of one distribution: a plugin's name, known without importing it.

    `status` is "found", "conflict" (the same name from two distributions), "incompatible" (it asks for another arl-core),
    "newer API" (it is written for a later plugin API), "broken" (the metadata cannot be read) or "blocked" (the selection
    excludes it; this goes before all others); `error` says why it is not "found".
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

    @property
    def usable(self) -> bool:
        """Whether a run can name it: in a conflict with its distribution."""
        return self.status in {"found", "conflict"}


@dataclass(frozen=True)
class Prefix:
    """A historical spelling: names that begin with `text` belong to `family` of `dist`."""

    text: str
    family: str
    dist: str


def plugin_records(selection: PluginSelection = ALL) -> tuple[PluginRecord, ...]:
    """Every installed plugin, sorted by name and distribution."""
    records = []
    for record in _scan()[0]:
        exclusion = selection.exclusion(record.name, record.dist)
        records.append(replace(record, status="blocked", error=exclusion) if exclusion else record)
    return tuple(_with_conflicts(records, selection))


def prefixes(selection: PluginSelection = ALL, *, usable: bool = True) -> tuple[Prefix, ...]:
    """Historical spellings of plugins that are (or are not) usable, longest first.

    Installing must not redirect another's name: a distribution's prefixes count only for families that it provides
    itself, and not where the core's own already reach.
    """
    chosen = {(record.name, record.dist) for record in plugin_records(selection) if record.usable == usable}
    own = [prefix for prefix in _scan()[1] if (prefix.family, prefix.dist) in chosen]
    reserved = tuple(prefix.text for prefix in own if prefix.dist == CORE)
    kept = [prefix for prefix in own if prefix.dist == CORE or not prefix.text.startswith(reserved)]
    return tuple(sorted(kept, key=lambda prefix: (-len(prefix.text), prefix.text, prefix.family, prefix.dist)))


def own_prefixes(record: PluginRecord, selection: PluginSelection = ALL) -> list[str]:
    """The beginnings of historical names that are `record`'s, longest first."""
    return [p.text for p in prefixes(selection) if (p.family, p.dist) == (record.name, record.dist)]


def refresh() -> None:
    """Forget what was read: for a process in which distributions come and go."""
    _scan.cache_clear()


@cache
def _scan() -> tuple[tuple[PluginRecord, ...], tuple[Prefix, ...]]:
    records: list[PluginRecord] = []
    spellings: set[Prefix] = set()
    seen: set[str] = set()
    for distribution in distributions():
        if not _mentions_plugins(distribution):
            continue
        dist, version, requirements, unreadable = _headers(distribution)
        if normalized(dist) in seen:
            continue  # the first one on the path is the one that imports; a second is a stale leftover
        seen.add(normalized(dist))
        try:
            points = list(distribution.entry_points)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's metadata does stays with its record
            told = f"{dist} {version}: entry_points.txt cannot be read: {type(error).__name__}: {error}"
            records.append(PluginRecord(dist, dist, version, "", "broken", told))
            continue
        state = ("broken", unreadable) if unreadable else _compatibility(f"{dist} {version}", requirements)
        records += _plugins(points, dist, version, state)
        spellings |= {Prefix(p.name, p.value, dist) for p in points if p.group == PREFIX_GROUP}
    return tuple(sorted(records, key=lambda record: (record.name, record.dist))), tuple(spellings)


def _mentions_plugins(distribution: Distribution) -> bool:
    try:
        text = distribution.read_text("entry_points.txt")
    except (OSError, UnicodeDecodeError):
        return False  # nothing to read is nothing that names us; the package's own tools will complain
    return text is not None and "[arl." in text


def _headers(distribution: Distribution) -> tuple[str, str, list[str], str]:
    """Name, version, what it requires, and why that cannot be read. Its folder's name stands for what is missing."""
    folder = str(getattr(getattr(distribution, "_path", None), "name", "unknown"))
    name, version, *_ = [*folder.rpartition(".")[0].split("-"), "", ""]
    requirements, unreadable = [], ""
    try:
        for line in header_lines(distribution):
            key, _, value = line.partition(":")
            field = key.strip().lower()
            if field == "name":
                name = value.strip()
            elif field == "version":
                version = value.strip()
            elif field == "requires-dist":
                requirements.append(value.strip())
        if not requirements and distribution.read_text("requires.txt"):
            requirements = distribution.requires or []  # an old egg-info keeps them apart
    except (OSError, ValueError) as error:
        unreadable = f"{name} {version}: its metadata cannot be read: {type(error).__name__}: {error}"
    return name or folder, version or "(no version)", requirements, unreadable


def header_lines(distribution: Distribution) -> list[str]:
    """The metadata's headers, a folded one as one line, without the description that follows them."""
    lines: list[str] = []
    for line in (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").splitlines():
        if not line.strip():
            break
        if line[0] in " \t" and lines:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines


def _plugins(points: Iterable[EntryPoint], dist: str, version: str, state: tuple[str, str]) -> Iterable[PluginRecord]:
    """A distribution's plugins. One that is offered in this API and in a later one is taken in this one."""
    status, reason = state
    found: dict[str, PluginRecord] = {}
    for point in sorted(points, key=lambda point: point.group == PLUGIN_GROUP):
        record = PluginRecord(point.name, dist, version, point.value, status, reason)
        if point.group == PLUGIN_GROUP:
            found[point.name] = record
        elif newer := NEWER_GROUP.fullmatch(point.group):
            told = f"needs a newer {CORE}: {record.owner} is written for plugin API {newer[1]}; pip install -U {CORE}"
            found[point.name] = replace(record, status="newer API", error=told)
    return found.values()


def _compatibility(owner: str, requirements: Iterable[str]) -> tuple[str, str]:
    """Status and reason by what a distribution asks of arl-core. `packaging` is imported only where it asks something."""
    asked = [text for text in requirements if (match := ON_CORE.match(text)) and match["bounds"].strip()]
    if not asked:
        return "found", ""
    from arl_core.registry.requirements import complaint_about_core

    try:
        complaint = complaint_about_core(owner, asked, __version__)
    except ValueError as error:
        return "broken", f"{owner}: {error}"
    return ("incompatible", complaint) if complaint else ("found", "")


def _with_conflicts(records: list[PluginRecord], selection: PluginSelection) -> list[PluginRecord]:
    """Mark names that two usable distributions claim. The core's own are reserved; a preferred distribution's claim stands."""
    claims: dict[str, list[PluginRecord]] = {}
    for record in records:
        if record.usable:
            claims.setdefault(record.name, []).append(record)
    return [_in_conflict(r, claims[r.name], selection) if r.usable and len(claims[r.name]) > 1 else r for r in records]


def _in_conflict(record: PluginRecord, claims: list[PluginRecord], selection: PluginSelection) -> PluginRecord:
    dists = [claim.dist for claim in claims]
    winner = CORE if CORE in dists else selection.preferred(dists)
    if record.dist == winner:
        return record
    if winner == CORE:
        reason = f", which {CORE} reserves"
    elif winner is not None:
        reason = f", which plugins_prefer gives to {winner}"
    else:
        reason = f", and so does {', '.join(claim.owner for claim in claims if claim.dist != record.dist)}"
    return replace(record, status="conflict", error=f"{record.owner} provides '{record.name}'{reason}")
