"""`arl plugins list`: what the installed distributions' metadata says, without importing any plugin."""

from __future__ import annotations

from dataclasses import asdict

from arl_core.cli.flags import parse
from arl_core.cli.output import print_json, print_table, wrapped
from arl_core.cli.surroundings import NO_PLUGINS_FLAG, surrounding_selection
from arl_core.registry.discovery import plugin_records

USAGE = """usage: arl plugins list [--json] [--no-plugins]

Lists the installed plugins by their metadata; nothing is imported. Status:

  found         can be named
  conflict      two distributions claim the name: DIST::NAME, or plugins_prefer, says which is meant
  incompatible  asks for another arl-core than the one that is installed
  newer API     is written for a plugin API that comes with a later arl-core
  blocked       excluded by plugins_block, plugins_allow, ARL_PLUGINS or --no-plugins
  broken        its metadata cannot be read"""


def command(arguments: list[str]) -> int:
    """List the plugins. Returns the exit code."""
    parsed = parse(arguments, {"json": True, **NO_PLUGINS_FLAG})
    records = plugin_records(surrounding_selection(parsed))
    if parsed.values.get("json"):
        print_json([asdict(record) for record in records])
        return 0
    rows = [(record.name, record.dist, record.version, record.status, record.target) for record in records]
    print_table(("name", "distribution", "version", "status", "module"), rows)
    others = [record for record in records if record.status != "found"]
    if others:
        print()
    for record in others:
        print("\n".join(wrapped(record.error)))
    if any(not record.usable for record in records):
        print("All others still work. Details: arl plugins show NAME, arl plugins check NAME")
    return 0
