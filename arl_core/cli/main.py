"""The command `arl`. Imports nothing that the asked-for command does not need: `arl --help` needs nothing at all."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Sequence

from arl_core.cli.dispatch import HELP, dispatch, listed
from arl_core.files import discard, fill_standard_descriptors

COMMANDS = {
    "run": "train: arl run --env gym:CartPole-v1",
    "eval": "play a trained run: arl eval train_dir/NAME",
    "bench": "measure a run's parts, its limit, and where the rest of the time goes",
    "config": "show a run's configuration and where each value comes from",
    "envs": "search the environments of all installed plugins: arl envs maze",
    "plugins": "list, describe and check the installed plugins",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, 1 after a failure, 2 for a user's mistake (told in one line), 130, 143 or 129
    when interrupted, 141 when the reader of standard output has left."""
    _complete_streams()
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # a plugin that crashes the interpreter while it is looked at shows where
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a reader that has left is still an exception that we see
        return code
    except KeyboardInterrupt as interrupt:  # of a run: with the signal's number; Python's own: without
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except BrokenPipeError:
        discard(sys.stdout)
        return 141
    except OSError as error:
        if not _stdout_fails():
            raise
        discard(sys.stdout)
        print(f"error: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 1
    except Exception as error:
        from arl_core.interfaces import UserError

        if not isinstance(error, UserError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _complete_streams() -> None:
    """Who starts us without a standard stream (`>&-`) wants nothing of it, and everything else."""
    fill_standard_descriptors()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open as long as the process


def _stdout_fails() -> bool:
    """Whether it is standard output that cannot be written: the error of a write does not say of what."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in HELP | {"help"}:
        print(_help())
        return 0
    if arguments[0] in {"-V", "--version"}:
        from arl_core._version import __version__

        print(f"arl {__version__}")
        return 0
    return dispatch("arl_core.cli", "", COMMANDS, arguments)


def _help() -> str:
    lines = ["arl: asynchronous reinforcement learning, with plugins", "", "usage: arl COMMAND [--help] ...", ""]
    lines += listed(COMMANDS)
    lines += ["", "  --version  the version", "  --help     this text; arl COMMAND --help for a command's flags"]
    return "\n".join(lines)
