"""`arl-export`: a run's policy as a file."""

# ruff: noqa: T201  # the command line prints

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from arl_core.interfaces import UserError

EPILOG = "docs/export.md of arl has the names of inputs and outputs, and a program that plays the file."


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    found = argparse.ArgumentParser(prog="arl-export", description="Write a trained policy as ONNX.", epilog=EPILOG)
    found.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run's directory, such as train_dir/NAME")
    found.add_argument("--checkpoint", default="latest", metavar="WHICH", help="latest (default), best, or a file or folder")
    found.add_argument("--env", metavar="ENV", help="the environment again, where it is code of your own (py:module:attr)")
    found.add_argument("--policy", type=int, default=0, metavar="N", help="of a run of several policies (default: 0)")
    found.add_argument("--output", type=Path, metavar="FILE.onnx", help="the ONNX file")
    found.add_argument("--torch", type=Path, metavar="FILE.pt", help="also, or only, the module by torch.save")
    told = "run the ONNX file beside the policy: outputs agree to 1e-4 of their largest, of at least 1 (needs onnxruntime)"
    found.add_argument("--check", action="store_true", help=told)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Export. Returns the exit code: 2 after a user's mistake."""
    given = parser().parse_args(arguments)
    try:
        _run(given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(given: argparse.Namespace) -> None:
    if given.output is None and given.torch is None:
        raise UserError("arl-export: name what to write: --output FILE.onnx, --torch FILE.pt, or both")
    if given.check and given.output is None:
        raise UserError("arl-export: --check compares an ONNX file: name it with --output FILE.onnx")
    if not given.run_dir.is_dir():
        raise UserError(f"arl-export: no directory {given.run_dir}")
    from arl_core import load_policy
    from arl_plugin_export.onnx_file import export_onnx, save_torch

    policy = load_policy(given.run_dir, given.checkpoint, given.env, given.policy)
    if given.torch is not None:
        print(save_torch(policy, given.torch))
    if given.output is not None:
        print(export_onnx(policy, given.output, {"run": given.run_dir.name, "checkpoint": given.checkpoint}))
    if given.check:
        from arl_plugin_export.check import largest_difference

        print(f"largest difference to the policy: {largest_difference(policy, given.output):.2e} of its outputs' magnitude")
