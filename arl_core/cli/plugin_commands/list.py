"""`arl plugins list`: what the installed distributions' metadata says, without importing any plugin."""

from __future__ import annotations

from dataclasses import asdict

from arl_core.cli.flags import parse
from arl_core.cli.output import print_json, print_table
from arl_core.registry.discovery import plugin_records

USAGE = """usage: arl plugins list [--json]

Lists the installed plugins: name, distribution, version, and status (found; conflict: two distributions claim the name;
broken: the metadata cannot be read). Nothing is imported."""


def command(arguments: list[str]) -> int:
    """List the plugins. Returns the exit code."""
    parsed = parse(arguments, {"json": True})
    if parsed.help:
        print(USAGE)
        return 0
    records = plugin_records()
    if parsed.values.get("json"):
        print_json([asdict(record) for record in records])
        return 0
    rows = [(record.name, record.dist, record.version, record.status, record.error or record.target) for record in records]
    print_table(("name", "distribution", "version", "status", "module"), rows)
    return 0
