"""`arl envs`: the environments of every installed plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from arl_core.cli.apart import apart
from arl_core.cli.flags import parse
from arl_core.cli.output import print_json, print_table
from arl_core.cli.surroundings import NO_PLUGINS_FLAG, surrounding_selection
from arl_core.interfaces import EnvFamily
from arl_core.registry.catalog import family_description, provides_environments
from arl_core.registry.discovery import PluginRecord, plugin_records
from arl_core.registry.loading import load
from arl_core.registry.resolve import listed_variants

USAGE = """usage: arl envs [PATTERN] [--json] [--no-plugins]

Searches the environments of all installed plugins, which are imported for it. Without PATTERN: one line a family; --json lists
every environment. A plugin that cannot be used is one line at the end.

  PATTERN   part of an id, or a glob that it matches (* ? [...]); letter case does not count. Historical names are
            searched too, and so are the ids registered with Gymnasium and the legacy gym package: arl envs 'gym:cart*'"""


class Environment(NamedTuple):
    """One line of the list. `names` are what a pattern may match: the id and its historical names."""

    id: str
    summary: str
    open_ended: bool = False
    names: Sequence[str] = ()
    is_default: bool = False


class Family(NamedTuple):
    """A plugin's family, and those of its environments that match."""

    record: PluginRecord
    summary: str
    environments: list[Environment]


def command(arguments: list[str]) -> int:
    """List environments. Returns the exit code."""
    parsed = parse(arguments, {"json": True, **NO_PLUGINS_FLAG}, positional=("PATTERN",))
    pattern = parsed.positional[0] if parsed.positional else None
    records = plugin_records(surrounding_selection(parsed))
    usable = [record for record in records if record.usable]
    answers = apart("arl_core.cli.envs:matching", usable, pattern=pattern)
    told = dict(zip(usable, answers, strict=True))
    told |= {record: (None, record.error) for record in records if not record.usable and record.status != "blocked"}
    found = [_family(record, *told[record][0]) for record in records if record in told and told[record][0]]
    failed = [(record, told[record][1]) for record in records if record in told and told[record][1]]
    if parsed.values.get("json"):
        print_json(_as_data(found, failed))
        return 0
    if pattern is None:
        _print_families(found)
    else:
        _print_environments(found, pattern)
    _print_failed(failed)
    return 0


def matching(record: PluginRecord, pattern: str | None) -> tuple[str, list[Environment]] | None:
    """The summary of a plugin's family, and its environments that match; None where it has none. Those of an open-ended family
    are searched, not listed. Imports the plugin; raises UserError where that fails."""
    if not provides_environments(load(record)):
        return None
    matches = _matcher(pattern)
    family = family_description(record)
    start = f"{record.dist}::{family.name}:" if record.status == "conflict" else f"{family.name}:"
    candidates = [*_variants(family, start)]
    if pattern is not None:
        known = listed_variants(family, record)
        candidates += (Environment(f"{start}{name}", note, names=(start + name,)) for name, note in known.items())
    return family.summary, [environment for environment in candidates if any(map(matches, environment.names))]


def _family(record: PluginRecord, summary: str, environments: list[list[Any]]) -> Family:
    """What `matching` said, as it comes from another process."""
    return Family(record, summary, [Environment(*environment) for environment in environments])


def _variants(family: EnvFamily, start: str) -> Iterator[Environment]:
    for spec in family.variants:
        aliases = (alias for alias, variant in family.aliases.items() if variant == spec.id)
        is_default = spec.id == family.default_variant
        summary = f"{spec.summary or family.summary}{' (default)' if is_default else ''}".strip()
        yield Environment(f"{start}{spec.id}", summary, names=(start + spec.id, *aliases), is_default=is_default)
    if family.resolver is not None:
        yield Environment(f"{start}NAME", family.summary, open_ended=True, names=(start,))


def _matcher(pattern: str | None) -> Callable[[str], bool]:
    if pattern is None:
        return lambda _: True
    folded = pattern.casefold()
    if any(sign in pattern for sign in "*?["):
        return lambda text: fnmatchcase(text.casefold(), folded)
    return lambda text: folded in text.casefold()


def _as_data(found: list[Family], failed: list[tuple[PluginRecord, str]]) -> dict[str, Any]:
    def named(record: PluginRecord) -> dict[str, str]:
        return {"distribution": record.dist, "version": record.version}

    return {
        "environments": [
            {"id": e.id, "summary": e.summary, **named(family.record), "open_ended": e.open_ended}
            for family in found
            for e in family.environments
        ],
        "failed": [{"name": record.name, **named(record), "error": error} for record, error in failed],
    }


def _print_families(found: list[Family]) -> None:
    rows = []
    for _, family_summary, environments in found:
        if environments:
            name = environments[0].id.rpartition(":")[0]
            default = next((e.id.removeprefix(f"{name}:") for e in environments if e.is_default), "-")
            count = "any" if any(e.open_ended for e in environments) else str(len(environments))
            rows.append((name, count, default, family_summary))
    if not rows:
        print("no environments")
        return
    print_table(("family", "variants", "default", "summary"), rows, fold=True)
    print("\nTheir environments: arl envs PATTERN, for example arl envs cartpole")


def _print_environments(found: list[Family], pattern: str) -> None:
    rows = [(e.id, family.record.owner, e.summary) for family in found for e in family.environments]
    if rows:
        print_table(("environment", "distribution", "summary"), rows, fold=True)
    else:
        print(f"no environment matches '{pattern}'")


def _print_failed(failed: list[tuple[PluginRecord, str]]) -> None:
    if failed:
        print()
        for _, error in failed:
            print(error.splitlines()[0])
        print("All others still work. Details: arl plugins show NAME, arl plugins check NAME")
