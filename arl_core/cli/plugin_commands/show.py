"""`arl plugins show`: what one plugin or distribution provides."""

from __future__ import annotations

from typing import Any

from arl_core.cli.describe import LISTINGS, default_text, described, wrapper_text
from arl_core.cli.flags import parse
from arl_core.cli.helptext import entry
from arl_core.cli.output import aligned, print_json, shown, wrapped
from arl_core.cli.surroundings import NO_PLUGINS_FLAG, surrounding_selection

USAGE = """usage: arl plugins show NAME [--json] [--no-plugins]

Imports the plugin NAME, or the plugins of the distribution NAME, and prints what they provide: environments with their
options and historical names, encoders, wrappers, the defaults that they change, and whether they are extensions. Of a
plugin that cannot be used it prints the reason."""


def command(arguments: list[str]) -> int:
    """Describe a plugin. Returns the exit code."""
    parsed = parse(arguments, {"json": True, **NO_PLUGINS_FLAG}, positional=("NAME",))
    description = described("arl plugins show", parsed.positional, surrounding_selection(parsed))
    if parsed.values.get("json"):
        print_json(description)
    else:
        print("\n".join(_text(description)))
    return 0


def _text(description: dict[str, Any]) -> list[str]:
    lines = wrapped(f"{description['distribution']} {description['version']}: {description['summary'] or '(no summary)'}")
    lines += [description["home_page"]] if description["home_page"] else []
    rows = [(plugin["name"], plugin["status"], plugin["module"]) for plugin in description["plugins"]]
    lines += ["", *aligned([("plugin", "status", "module"), *rows])]
    for plugin in description["plugins"]:
        if plugin["error"]:
            lines += ["", *(line for part in plugin["error"].splitlines() for line in wrapped(part.strip()))]
        if plugin["extension"]:
            lines += ["", *_extension(plugin)]
        if plugin["family"]:
            lines += ["", *_family(plugin["family"], plugin["prefixes"])]
    for title in LISTINGS:
        if description[title]:
            lines += ["", title, *aligned([(item["name"], item.get("summary", "")) for item in description[title]], "  ")]
        for item in description[title]:
            if item.get("options"):
                lines += ["", f'  options of {item["name"]}: {{"name": "{item["name"]}", "options": {{...}}}}']
                lines += [line for option in item["options"] for line in _option("", option)]
    return lines


def _extension(plugin: dict[str, Any]) -> list[str]:
    lines = [f"{plugin['name']}: an extension, for runs that name it", ""]
    return lines + aligned([("named by", f"--extensions {plugin['name']}"), ("hooks", ", ".join(plugin["extension"]))], "  ")


def _family(family: dict[str, Any], prefixes: list[str]) -> list[str]:
    name = family["name"]
    lines = wrapped(f"{name}: {family['summary']}")
    if family["variants"]:
        rows = [(v["id"], f"{v['summary']} {'(default)' if v['default'] else ''}".strip()) for v in family["variants"]]
        lines += ["", "  environments", *aligned(rows, "    ")]
    names = [(alias, v["id"]) for v in family["variants"] for alias in v["also_called"]]
    names += [(f"{text}...", f"{name}:...") for text in prefixes]
    lines += ["", "  historical names", *aligned(names, "    ")] if names else []
    facts = [("any variant", f"{name}:NAME")] if family["open_ended"] else []
    facts += [("encoder", family["encoder"])] if family["encoder"] else []
    facts += [("wrapper", wrapper_text(wrapper)) for wrapper in family["wrappers"]]
    facts += [("documentation", family["docs_url"])] if family["docs_url"] else []
    lines += ["", *aligned(facts, "  ")] if facts else []
    if family["options"]:
        lines += ["", "  options", *(line for option in family["options"] for line in _option(f"--{name}.", option))]
    for group in family["defaults_changed"]:
        changes = [(field, shown(core), "->", shown(own)) for field, (core, own) in group["changes"].items()]
        whose = ", ".join(group["environments"]) or name
        lines += ["", *wrapped(f"defaults changed by {whose}", "  "), *aligned(changes, "    ")]
    return lines


def _option(flag: str, option: dict[str, Any]) -> list[str]:
    default = default_text(option)
    note = default if option["required"] else f"default: {default}"
    return entry(f"  {flag}{option['name']} {option['type']}", option["description"] + (f" ({note})" if default else ""))
