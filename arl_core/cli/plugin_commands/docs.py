"""`arl plugins docs`: what a plugin or distribution provides, as a Markdown page that its README can link to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from arl_core.cli.describe import LISTINGS, default_text, described, wrapper_text
from arl_core.cli.flags import parse
from arl_core.cli.output import shown
from arl_core.cli.surroundings import NO_PLUGINS_FLAG, surrounding_selection
from arl_core.files import write_atomic
from arl_core.interfaces import UserError

USAGE = """usage: arl plugins docs NAME [--output FILE.md] [--no-plugins]

Imports the plugin NAME, or the plugins of the distribution NAME, and writes a Markdown page about what they provide:
environments, options, encoders, wrappers, the defaults that they change, and whether they are extensions.

  --output FILE.md   write to a file, all or nothing (default: standard output)"""

_OPTION_COLUMNS = ("option", "values", "default", "")


def command(arguments: list[str]) -> int:
    """Write the page. Returns the exit code."""
    parsed = parse(arguments, {"output": False, **NO_PLUGINS_FLAG}, positional=("NAME",))
    description = described("arl plugins docs", parsed.positional, surrounding_selection(parsed))
    wrong = [plugin["error"] for plugin in description["plugins"] if plugin["status"] not in {"found", "conflict"}]
    if wrong:
        raise UserError(wrong[0])
    text = page(description, parsed.positional[0])
    output = parsed.values.get("output")
    if not isinstance(output, str):
        print(text, end="")
        return 0
    try:
        write_atomic(Path(output), text)
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written: {error.strerror}") from error
    return 0


def page(description: dict[str, Any], name: str) -> str:
    """The page, without the version: it changes when something that it says does."""
    lines = [f"# {description['distribution']}", "", description["summary"] or "(no summary)"]
    lines += ["", f"<{description['home_page']}>"] if description["home_page"] else []
    for plugin in description["plugins"]:
        lines += _extension(plugin) if plugin["extension"] else []
        lines += _family(plugin["family"], plugin["prefixes"]) if plugin["family"] else []
    for title in LISTINGS:
        rows = [(f"`{item['name']}`", _cell(item.get("summary", ""))) for item in description[title]]
        lines += _table(f"## {title.capitalize()}", ("name", ""), rows)
        for item in description[title]:
            named = f'### Options of {item["name"]}\n\nIn `{{"name": "{item["name"]}", "options": {{...}}}}`:'
            lines += _table(named, _OPTION_COLUMNS, _option_rows("", item.get("options") or []))
    return "\n".join([*lines, "", f"This page is generated: `arl plugins docs {name}`.", ""])


def _extension(plugin: dict[str, Any]) -> list[str]:
    name, hooks = plugin["name"], _codes(plugin["extension"])
    return ["", f"## Extension: {name}", "", f"For runs that name it: `--extensions {name}`. It implements {hooks}."]


def _family(family: dict[str, Any], prefixes: Iterable[str]) -> list[str]:
    name = family["name"]
    summary = _cell(family["summary"])
    lines = ["", f"## Environments: {name}", "", f"{summary[:1].upper()}{summary[1:]}."]
    if family["open_ended"]:
        lines += ["", f"Any variant can be named: `--env {name}:NAME`."]
    begins = tuple(prefixes)
    rows = [(f"`{v['id']}`", _codes(v["also_called"]), _variant(name, v)) for v in family["variants"]]
    lines += _table(None, ("`--env`", "also", ""), rows)
    notes = [f"Names that begin with {_codes(begins)} are {name}'s too."] if begins else []
    notes += [f"Wrapper: `{wrapper_text(wrapper)}`." for wrapper in family["wrappers"]]
    notes += [f"Encoder: `{family['encoder']}`."] if family["encoder"] else []
    notes += [f"More: <{family['docs_url']}>"] if family["docs_url"] else []
    lines += ["", *notes] if notes else []
    lines += _table("### Options", _OPTION_COLUMNS, _option_rows(f"--{name}.", family["options"]))
    changes = [
        (f"`{field}`", _code(shown(core)), _code(shown(own)), _codes(group["environments"]) or "all")
        for group in family["defaults_changed"]
        for field, (core, own) in group["changes"].items()
    ]
    return lines + _table("### Defaults changed", ("field", "core", "here", "environments"), changes)


def _option_rows(flag: str, options: Iterable[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [(f"`{flag}{o['name']}`", _code(o["type"]), _code(default_text(o)), _cell(o["description"])) for o in options]


def _variant(family: str, variant: dict[str, Any]) -> str:
    """A variant's summary and what else is worth a word."""
    notes = [f"`--env {family}` means this one"] if variant["default"] else []
    notes += [f"{variant['max_episode_steps']:,} steps at most"] if variant["max_episode_steps"] else []
    return "; ".join([_cell(variant["summary"]), *notes] if variant["summary"] else notes)


def _table(title: str | None, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table under its title; nothing where it has no rows."""
    if not rows:
        return []
    lines = [headers, ["---"] * len(headers), *rows]
    return [*([] if title is None else ["", title]), "", *(f"| {' | '.join(line)} |" for line in lines)]


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


def _code(text: str) -> str:
    return f"`{_one_line(text)}`" if text else ""


def _cell(text: str) -> str:
    """Prose that stays in its cell and is no HTML."""
    return _one_line(text).replace("<", "&lt;")


def _one_line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
