"""`arl-export`: a run's policy as a file."""

# ruff: noqa: T201  # the command line prints

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from arl_core.cli.flags import Parsed, parse, whole
from arl_core.interfaces import UserError

FLAGS = {**dict.fromkeys(("checkpoint", "env", "encoder", "model", "policy", "output", "torch"), False), "check": True}
USAGE = """usage: arl-export RUN_DIR [--output FILE.onnx] [--torch FILE.pt] [--check]
                  [--checkpoint best|latest|PATH] [--policy N] [--env ENV]
                  [--encoder NAME] [--model NAME] [--FAMILY.OPTION VALUE ...]

Write a trained policy as ONNX.

  RUN_DIR              a run's directory, such as train_dir/NAME
  --output FILE.onnx   the ONNX file
  --torch FILE.pt      also, or only, the module by torch.save
  --check              run the ONNX file beside the policy: outputs agree to
                       1e-4 of their largest, of at least 1 (needs onnxruntime)
  --checkpoint WHICH   latest (default), best, or a file or folder
  --policy N           of a run of several policies (default: 0)
  --env ENV            the environment again, where it is code of your own
                       (py:module:attr)
  --encoder, --model   the network again, likewise
  --FAMILY.OPTION V    the environment with another option, such as
                       --nasim.scenario moved.yaml

docs/export.md of arl has the names of inputs and outputs, and a program that
plays the file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Export. Returns the exit code: 2 after a user's mistake."""
    try:
        given = parse(sys.argv[1:] if arguments is None else arguments, FLAGS, positional=("RUN_DIR",))
        if given.help:
            print(USAGE)
        else:
            _run(given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(given: Parsed) -> None:
    if not given.positional:
        raise UserError("arl-export: name the run's directory, such as train_dir/NAME")
    run_dir, named = Path(given.positional[0]), {name: str(value) for name, value in given.values.items()}
    output, module, is_checked = named.get("output"), named.get("torch"), bool(given.values.get("check"))
    if output is None and module is None:
        raise UserError("arl-export: name what to write: --output FILE.onnx, --torch FILE.pt, or both")
    if is_checked and output is None:
        raise UserError("arl-export: --check compares an ONNX file: name it with --output FILE.onnx")
    if not run_dir.is_dir():
        raise UserError(f"arl-export: no directory {run_dir}")
    from arl_core import load_policy
    from arl_core.cli.request import own_layer_of
    from arl_plugin_export.onnx_file import export_onnx, save_torch

    which, env, number = named.get("checkpoint", "latest"), named.get("env"), whole(given, "policy", 0) or 0
    own = own_layer_of(given.options, run_dir, env).values["env_options"] if given.options else None
    policy = load_policy(run_dir, which, env, number, own, named.get("encoder"), named.get("model"))
    if module is not None:
        print(save_torch(policy, module))
    if output is not None:
        print(export_onnx(policy, output, {"run": run_dir.name, "checkpoint": which}))
    if output is not None and is_checked:
        from arl_plugin_export.check import largest_difference

        print(f"largest difference to the policy: {largest_difference(policy, Path(output)):.2e} of its outputs' magnitude")
