"""From a command's name to its module: nothing else is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

HELP = frozenset({"-h", "--help"})
_MEANT = {"train": "run", "learn": "run", "play": "eval", "enjoy": "eval", "evaluate": "eval"}  # as others call them


def dispatch(package: str, prefix: str, commands: Mapping[str, str], arguments: list[str]) -> int:
    """Run the command that `arguments` name (users write `prefix` before it), or print its module's USAGE where they ask for
    help. Returns the exit code. Raises UserError where there is no such command."""
    name, *rest = arguments
    if name not in commands:
        from arl_core.cli.flags import mistake
        from arl_core.config.layers import nearest

        hint = nearest(_MEANT.get(name, name), commands) or f" Commands: {', '.join(commands)}"
        raise mistake(f"no command '{prefix}{name}'.{hint}")
    module = import_module(f"{package}.{name}")
    if HELP.intersection(rest) and hasattr(module, "USAGE"):
        from arl_core.cli.output import line_width, usage_lines

        print("\n".join(usage_lines(module.USAGE, line_width())))
        return 0
    code: int = module.command(rest)
    return code


def listed(commands: Mapping[str, str]) -> list[str]:
    """A line for each command."""
    return [f"  {name:<9}{summary}" for name, summary in commands.items()]
