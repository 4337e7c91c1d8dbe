"""At the end: a run, through the command line, in serial mode."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from arl_core.testing.processes import Ended, run_bounded
from arl_core.testing.results import CheckFailed, Result, ok, rule
from arl_core.testing.subject import Variant

FRAMES = 4000
MAX_S = 30.0  # of training; a slow environment is then stopped, not failed
TIMEOUT_S = 100.0


def run_arl(folder: Path, *words: str, frames: int = FRAMES) -> Ended:
    """`arl run` in serial mode, for `frames` in all or `MAX_S`, with its run directory in `folder`."""
    command = [sys.executable, "-m", "arl_core", "run", *words, "--experiment", "check", "--train_dir", str(folder)]
    command += ["--train_for_env_steps", str(frames), "--train_for_seconds", str(MAX_S)]
    command += [] if "--resume" in words else ["--serial"]
    return run_bounded(command, timeout_s=TIMEOUT_S, cwd=folder)


def summary_of(folder: Path) -> dict[str, Any]:
    """What the run left in its summary.json."""
    summary: dict[str, Any] = json.loads((folder / "check" / "summary.json").read_text(encoding="utf-8"))
    return summary


@rule("train.serial", "see it: arl run --env ENV --serial --train_for_env_steps 4000")
def trains(variant: Variant) -> Result:
    """A few thousand frames train without an error."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"{variant.resolved.dist}::{variant}" if variant.resolved.dist else str(variant)
        ended = run_arl(Path(folder), "--env", name)
        if ended.code != 0:
            raise CheckFailed(f"arl run --env {variant} --serial {ended.how}: {ended.last_line}")
        summary = summary_of(Path(folder))
    mean = summary["return_mean"]
    result = "no episode ended" if mean is None else f"mean return {mean:.3g}"
    return ok(f"{summary['frames']:,} frames in {summary['seconds']:.1f} s, {result}")
