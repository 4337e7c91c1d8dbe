"""`arl plugins COMMAND`: finds the command's module and imports nothing else."""

from __future__ import annotations

from importlib import import_module

from arl_core.cli.flags import mistake

COMMANDS = {
    "list": "the installed plugins and their status; imports none",
    "show": "what a plugin provides: environments, options, encoders, wrappers, defaults",
    "docs": "the same as a Markdown page",
    "check": "every rule for plugins, applied to installed ones",
    "new": "write a new plugin that installs, trains and passes its checks",
}


def command(arguments: list[str]) -> int:
    """Run one of the commands. Returns the exit code."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_help())
        return 0
    if arguments[0] not in COMMANDS:
        from arl_core.config.layers import nearest

        hint = nearest(arguments[0], COMMANDS) or f" Commands: {', '.join(COMMANDS)}"
        raise mistake(f"no command 'arl plugins {arguments[0]}'.{hint}")
    code: int = import_module(f"arl_core.cli.plugin_commands.{arguments[0]}").command(arguments[1:])
    return code


def _help() -> str:
    lines = ["usage: arl plugins COMMAND [--help] ...", ""]
    return "\n".join([*lines, *(f"  {name:<9}{summary}" for name, summary in COMMANDS.items())])
