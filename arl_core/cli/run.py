"""`arl run`: train."""

from __future__ import annotations

import sys

from arl_core.cli.helptext import entry, env_lines, field_lines
from arl_core.cli.request import Request, named_field, parse_request, resolve_request


def command(arguments: list[str]) -> int:
    """Resolve the run that `arguments` ask for, then train it. Returns the exit code."""
    request = parse_request(arguments, switches=("resume",))
    if request.parsed.help:
        print("\n".join(_help(request)))
        return 0
    if request.others.get("resume"):
        from arl_core.cli.resume import find_saved_run, same_environment

        saved = find_saved_run(request)
        print(f"resuming {saved.path}", file=sys.stderr)
        config, env = resolve_request(request, saved.layer)
        same_environment(saved, env)
    else:
        config, env = resolve_request(request)
    from arl_core.runtime.run import run

    code: int = run(config, env, resume=bool(request.others.get("resume")))
    return code


def _help(request: Request) -> list[str]:
    lines = ["usage: arl run --env ENV [--field VALUE ...] [--config FILE.yaml] [--resume]", ""]
    lines += entry("--config FILE.yaml", "values from a file; environment variables ARL_FIELD and flags win over it")
    lines += entry("--resume", "go on with --experiment (default: the newest run); only what is named now changes")
    lines += entry("--help", "this text; with --env ENV also that environment's options and defaults")
    named = "env" in request.fields or request.config_file is not None
    env = named_field(request, "env")
    lines += env_lines(env, named_field(request, "algo")) if named and isinstance(env, str) else _installed()
    return lines + field_lines()


def _installed() -> list[str]:
    from arl_core.registry.discovery import plugin_records

    records = [record for record in plugin_records() if record.status == "found"]
    lines = ["", "Installed environments:"]
    for record in records:
        lines += entry(f"--env {record.name}", f"{record.owner}; its options: arl run --env {record.name} --help")
    return lines
