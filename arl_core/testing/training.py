"""At the end: a run, through the command line, in serial mode."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from arl_core.testing.processes import run_bounded
from arl_core.testing.results import CheckFailed, Result, ok, rule
from arl_core.testing.subject import Variant

FRAMES = 4000
MAX_S = 30.0  # of training; a slow environment is then stopped, not failed
TIMEOUT_S = 100.0


@rule("train.serial", "see it: arl run --env ENV --serial --train_for_env_steps 4000")
def trains(variant: Variant) -> Result:
    """A few thousand frames train without an error."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"{variant.resolved.dist}::{variant}" if variant.resolved.dist else str(variant)
        command = [sys.executable, "-m", "arl_core", "run", "--env", name, "--serial", "--experiment", "check"]
        command += ["--train_for_env_steps", str(FRAMES), "--train_for_seconds", str(MAX_S), "--train_dir", folder]
        ended = run_bounded(command, timeout_s=TIMEOUT_S, cwd=Path(folder))
        if ended.code != 0:
            raise CheckFailed(f"arl run --env {variant} --serial {ended.how}: {ended.last_line}")
        summary = json.loads(Path(folder, "check", "summary.json").read_text(encoding="utf-8"))
    mean = summary["return_mean"]
    result = "no episode ended" if mean is None else f"mean return {mean:.3g}"
    return ok(f"{summary['frames']:,} frames in {summary['seconds']:.1f} s, {result}")
