"""`arl plugins check`: every rule for plugins, applied to installed ones."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from arl_core.cli.flags import parse, positive
from arl_core.cli.output import LEAST, line_width, print_json
from arl_core.registry.discovery import plugin_records
from arl_core.registry.selection import CORE

if TYPE_CHECKING:
    from arl_core.testing.subject import Subject
    from arl_core.testing.supervise import Report

WIDTH = 110
ID_COLUMN = 36
TEXT_COLUMN = ID_COLUMN + 9  # two spaces, mark, id, a space
USAGE = """usage: arl plugins check [NAME ...] [--all] [--core] [--timeout SECONDS] [--json]

Checks installed plugins: metadata, imports, hooks, descriptions, environments, encoders, wrappers, a short run. Each plugin is
checked in a process of its own. Exit code 0: all is well, 1: a check failed.

  NAME               a plugin (maze), one of its environments (maze:random-5x5), or a distribution (arl-plugin-maze);
                     default: every plugin but the core's own
  --all              build every variant, not only the default one and another
  --core             the core's own plugins too
  --timeout SECONDS  how long one check may take (default: 150)
  --json             the results for programs"""
FLAGS = {"all": True, "core": True, "json": True, "timeout": False}
MAX_NAMES = 64


def command(arguments: list[str]) -> int:
    """Check plugins. Returns the exit code."""
    parsed = parse(arguments, FLAGS, positional=("NAME",) * MAX_NAMES)
    timeout_s = positive(parsed, "timeout")
    core = bool(parsed.values.get("core"))
    subjects = _subjects(parsed.positional, bool(parsed.values.get("all")), core)
    if not subjects:
        print("no plugins are installed besides the core's own, which --core checks")
        return 0
    as_json = bool(parsed.values.get("json"))
    found = [_checked(subject, timeout_s, quiet=as_json) for subject in subjects]
    failed = any(entry["failed"] for entry in found)
    if as_json:
        print_json(found)
    return 1 if failed else 0


def _subjects(names: Sequence[str], all_variants: bool, core: bool) -> list[Subject]:
    from arl_core.testing.subject import Subject, find_subjects

    if names:
        return [subject for name in names for subject in find_subjects(name, all_variants=all_variants)]
    records = [record for record in plugin_records() if core or record.dist != CORE]
    return [Subject(record, None, all_variants) for record in records]


def _checked(subject: Subject, timeout_s: float | None, *, quiet: bool) -> dict[str, Any]:
    """Check one plugin, telling each result as it comes. Returns what JSON says of it."""
    from arl_core.testing.supervise import CHECK_TIMEOUT_S, supervised

    record = subject.record
    if not quiet:
        print(f"{record.name} ({record.owner})", flush=True)
    reports = []
    for report in supervised(subject, timeout_s or CHECK_TIMEOUT_S):
        reports.append(report)
        if not quiet:
            print("\n".join(_lines(report)), flush=True)
    counts = Counter(report.result.outcome for report in reports)
    if not quiet:
        notes = sum(len(report.result.notes) for report in reports)
        print(f"{len(reports)} checks: {counts['ok']} ok, {counts['fail']} failed, {counts['skip']} skipped, {notes} notes\n")
    return {
        "name": record.name,
        "dist": record.dist,
        "version": record.version,
        "failed": counts["fail"],
        "checks": [report.as_json() for report in reports],
    }


def _lines(report: Report) -> list[str]:
    """A check's line; below it the cure of a failure, and notes."""
    result = report.result
    mark = {"ok": "note" if result.notes else "ok", "fail": "FAIL", "skip": "skip"}[result.outcome]
    head, width = f"  {mark:<6}{report.id:<{ID_COLUMN}} ", line_width(WIDTH)
    lines = textwrap.wrap(result.message or report.title, max(width - TEXT_COLUMN, LEAST), break_long_words=False)
    text = [head + lines[0], *(" " * TEXT_COLUMN + line for line in lines[1:])]
    below = [("cure", result.cure)] if result.cure else []
    for label, said in [*below, *(("note", note) for note in result.notes)]:
        text += textwrap.wrap(said, width, initial_indent=f"        {label}: ", subsequent_indent=" " * 14)
    return text
