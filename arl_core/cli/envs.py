"""`arl envs`: the environments of every installed plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from arl_core.cli.describe import output_is_ours
from arl_core.cli.flags import parse
from arl_core.cli.output import print_json, print_table
from arl_core.cli.surroundings import NO_PLUGINS_FLAG, surrounding_selection
from arl_core.interfaces import EnvFamily, UserError
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
    record: PluginRecord
    open_ended: bool = False
    names: tuple[str, ...] = ()
    is_default: bool = False


def command(arguments: list[str]) -> int:
    """List environments. Returns the exit code."""
    parsed = parse(arguments, {"json": True, **NO_PLUGINS_FLAG}, positional=("PATTERN",))
    pattern = parsed.positional[0] if parsed.positional else None
    found: list[list[Environment]] = []  # by family
    failed: list[tuple[PluginRecord, str]] = []
    with output_is_ours():
        for record in plugin_records(surrounding_selection(parsed)):
            if record.usable:
                try:
                    found.append(_environments(record, pattern))
                except UserError as error:
                    failed.append((record, str(error)))
            elif record.status != "blocked":  # which the user wanted
                failed.append((record, record.error))
    if parsed.values.get("json"):
        print_json(_as_data([environment for family in found for environment in family], failed))
        return 0
    if pattern is None:
        _print_families([family for family in found if family])
    else:
        _print_environments([environment for family in found for environment in family], pattern)
    _print_failed(failed)
    return 0


def _environments(record: PluginRecord, pattern: str | None) -> list[Environment]:
    """A plugin's environments that match. Those of an open-ended family are searched, not listed."""
    if not provides_environments(load(record)):
        return []
    matches = _matcher(pattern)
    family = family_description(record)
    start = f"{record.dist}::{family.name}:" if record.status == "conflict" else f"{family.name}:"
    candidates = [*_variants(family, start, record)]
    if pattern is not None:
        known = listed_variants(family, record)
        candidates += (Environment(f"{start}{name}", note, record, names=(start + name,)) for name, note in known.items())
    return [environment for environment in candidates if any(map(matches, environment.names))]


def _variants(family: EnvFamily, start: str, record: PluginRecord) -> Iterator[Environment]:
    for spec in family.variants:
        aliases = (alias for alias, variant in family.aliases.items() if variant == spec.id)
        is_default = spec.id == family.default_variant
        summary = f"{spec.summary or family.summary}{' (default)' if is_default else ''}".strip()
        yield Environment(f"{start}{spec.id}", summary, record, names=(start + spec.id, *aliases), is_default=is_default)
    if family.resolver is not None:
        yield Environment(f"{start}NAME", family.summary, record, open_ended=True, names=(start,))


def _matcher(pattern: str | None) -> Callable[[str], bool]:
    if pattern is None:
        return lambda _: True
    folded = pattern.casefold()
    if any(sign in pattern for sign in "*?["):
        return lambda text: fnmatchcase(text.casefold(), folded)
    return lambda text: folded in text.casefold()


def _as_data(found: list[Environment], failed: list[tuple[PluginRecord, str]]) -> dict[str, Any]:
    def named(record: PluginRecord) -> dict[str, str]:
        return {"distribution": record.dist, "version": record.version}

    return {
        "environments": [{"id": e.id, "summary": e.summary, **named(e.record), "open_ended": e.open_ended} for e in found],
        "failed": [{"name": record.name, **named(record), "error": error} for record, error in failed],
    }


def _print_families(families: list[list[Environment]]) -> None:
    if not families:
        print("no environments")
        return
    rows = []
    for environments in families:
        name = environments[0].id.rpartition(":")[0]
        default = next((e.id.removeprefix(f"{name}:") for e in environments if e.is_default), "-")
        count = "any" if any(e.open_ended for e in environments) else str(len(environments))
        rows.append((name, count, default, family_description(environments[0].record).summary))
    print_table(("family", "variants", "default", "summary"), rows, fold=True)
    print("\nTheir environments: arl envs PATTERN, for example arl envs cartpole")


def _print_environments(found: list[Environment], pattern: str) -> None:
    if found:
        print_table(("environment", "distribution", "summary"), [(e.id, e.record.owner, e.summary) for e in found], fold=True)
    else:
        print(f"no environment matches '{pattern}'")


def _print_failed(failed: list[tuple[PluginRecord, str]]) -> None:
    if failed:
        print()
        for _, error in failed:
            print(error.splitlines()[0])
        print("All others still work. Details: arl plugins show NAME, arl plugins check NAME")
