"""Tables, notes and JSON for people and programs: Rich where there is a terminal, plain aligned columns otherwise."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

WIDTH = 100
LEAST = 30  # characters of a column of text
_KEPT = "\0"  # a space at which no line is broken


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = False) -> None:
    """Print a table to standard output. On a terminal long cells are folded, elsewhere with `fold` those of the last column."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Column, Table

        table = Table(*(Column(header, overflow="fold") for header in headers), box=None, header_style="bold")
        table.columns[0].no_wrap = True
        for row in rows:
            table.add_row(*row)
        Console(markup=False, highlight=False).print(table)
        return
    for line in aligned([headers, *(_folded(headers, rows) if fold else rows)]):
        print(line)


def _folded(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Rows whose last cell goes on in further rows, so that lines have at most `WIDTH` characters (but room for 30)."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)][:-1]
    room = max(WIDTH - sum(widths) - 2 * len(widths), LEAST)
    folded: list[Sequence[str]] = []
    for row in rows:
        first, *further = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        folded += [(*row[:-1], first), *((*([""] * len(widths)), text) for text in further)]
    return folded


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Rows as lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [indent + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def line_width(most: int = WIDTH) -> int:
    """Characters of a line: those of the terminal, or of COLUMNS, at most `most`, which it is elsewhere."""
    if "COLUMNS" not in os.environ and not sys.stdout.isatty():
        return most
    return min(shutil.get_terminal_size((most, 24)).columns, most)


def usage_lines(text: str, width: int) -> list[str]:
    """A command's help with its longer lines wrapped: a flag's description below itself, a [part] of the usage whole."""
    lines: list[str] = []
    for line in text.splitlines():
        head = re.match(r"usage: arl( [a-z]+)+ |  \S+( \S+)*  +| *", line)
        assert head is not None
        indent = " " * head.end()
        if len(line) <= width or head.end() > width - LEAST:
            lines.append(line)
            continue
        rest = re.sub(r"\[[^]]*\]", lambda part: part[0].replace(" ", _KEPT), line[head.end() :])
        body = textwrap.wrap(rest, width - head.end(), break_long_words=False, break_on_hyphens=False)
        lines += [f"{head[0]}{body[0]}", *(indent + more for more in body[1:])]
    return [line.replace(_KEPT, " ") for line in lines]


def wrapped(text: str, indent: str = "", width: int | None = None) -> list[str]:
    """A paragraph as lines of at most `width` characters; the further ones are indented by two more. Words stay whole."""
    width = line_width() if width is None else width
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )


def print_json(value: Any) -> None:
    """Print `value` as JSON, for programs."""
    print(json.dumps(value, indent=2))


def shown(value: Any) -> str:
    """A configuration value on one line, as a user would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
