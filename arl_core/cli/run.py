"""`arl run`: train."""

from __future__ import annotations

import sys

from arl_core.cli.helptext import entry, env_lines, field_lines
from arl_core.cli.output import line_width, usage_lines
from arl_core.cli.request import Request, named_field, named_selection, parse_request, resolve_request
from arl_core.registry.discovery import plugin_records
from arl_core.registry.selection import PluginSelection


def command(arguments: list[str]) -> int:
    """Resolve the run that `arguments` ask for, then train it. Returns the exit code."""
    request = parse_request(arguments, switches=("resume",))
    if request.parsed.help:
        print("\n".join(_help(request)))
        return 0
    if request.others.get("resume"):
        from arl_core.cli.resume import find_saved_run

        saved = find_saved_run(request)
        print(f"resuming {saved.path}", file=sys.stderr)
        saved.provenance.check_installed(exactly=True)
        config, env = resolve_request(request, saved.layer)
        saved.provenance.check_same(env)
    else:
        config, env = resolve_request(request)
    from arl_core.runtime.run import run

    code: int = run(config, env, resume=bool(request.others.get("resume")))
    return code


def _help(request: Request) -> list[str]:
    usage = "usage: arl run --env ENV [--field VALUE ...] [--config FILE.yaml] [--resume] [--no-plugins]"
    lines = [*usage_lines(usage, line_width()), ""]
    lines += entry("--config FILE.yaml", "values from a file; environment variables ARL_FIELD and flags win over it")
    lines += entry("--resume", "go on with --experiment (default: the newest run); only what is named now changes")
    lines += entry("--no-plugins", "use the core alone")
    lines += entry("--help", "this text; with --env ENV also that environment's options and defaults")
    named = "env" in request.fields or request.config_file is not None
    env, selection = named_field(request, "env"), named_selection(request)
    if named and isinstance(env, str):
        lines += env_lines(env, named_field(request, "algo"), selection)
    else:
        lines += _installed(selection)
    return lines + field_lines()


def _installed(selection: PluginSelection) -> list[str]:
    """The installed plugins, by their metadata alone: it does not say which are families and which are extensions."""
    records = plugin_records(selection)
    lines = ["", "Installed environments (or extensions: arl plugins show NAME):"]
    for record in records:
        if record.usable:
            name = record.name if record.status == "found" else f"{record.dist}::{record.name}"
            lines += entry(f"--env {name}", f"{record.owner}; its options: arl run --env {name} --help")
    others = [record.name for record in records if not record.usable]
    return [*lines, *(entry("not usable", f"{', '.join(others)}; why: arl plugins list") if others else [])]
