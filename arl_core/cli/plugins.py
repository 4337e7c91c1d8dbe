"""`arl plugins COMMAND`: finds the command's module and imports nothing else."""

from __future__ import annotations

from arl_core.cli.dispatch import HELP, dispatch, listed

COMMANDS = {
    "list": "the installed plugins and their status; imports none",
    "show": "what a plugin provides: environments, options, encoders, wrappers, defaults",
    "docs": "the same as a Markdown page",
    "check": "every rule for plugins, applied to installed ones",
    "new": "write a new plugin that installs, trains and passes its checks",
}


def command(arguments: list[str]) -> int:
    """Run one of the commands. Returns the exit code."""
    if not arguments or arguments[0] in HELP:
        print("\n".join(["usage: arl plugins COMMAND [--help] ...", "", *listed(COMMANDS)]))
        return 0
    return dispatch("arl_core.cli.plugin_commands", "arl plugins ", COMMANDS, arguments)
