"""`arl bench`: what a run's parts cost, the limit that follows, the run itself, and where the rest goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arl_core.cli.flags import positive, whole
from arl_core.cli.output import WIDTH, aligned, line_width, print_json, wrapped
from arl_core.cli.request import parse_request, resolve_request
from arl_core.interfaces import UserError

USAGE = """usage: arl bench --env ENV [--field VALUE ...] [--seconds S] [--rounds N] [--json] [--output FILE]

Measures environment, inference and training, each alone on one thread, and the run that `arl run` with the same
flags would be; in turn, N times. Prints seconds per frame, the limit cores / (environment + inference + training),
frames per second, efficiency (their ratio), and what each process spends its time on. A serial run uses one core, and
is measured against one. Writes no run directory.

  --seconds S     of each run, after a warm-up of at most 2 s (default: 5)
  --rounds N      how often parts and run are measured, in turn; the result is the median (default: 2)
  --timeout S     for the parts of one round (default: 120)
  --json          the result as JSON
  --output FILE   write that JSON to FILE, too"""
_SHARES = ("environment", "inference", "training", "copies", "messages", "bookkeeping", "other", "waiting", "no_core")


def command(arguments: list[str]) -> int:
    """Measure. Returns the exit code."""
    request = parse_request(arguments, switches=("json",), named=("seconds", "rounds", "timeout", "output"))
    seconds, timeout_s = positive(request.parsed, "seconds") or 5.0, positive(request.parsed, "timeout") or 120.0
    rounds = whole(request.parsed, "rounds", least=1) or 2
    output = request.others.get("output")
    if isinstance(output, str):
        _check_output(Path(output))
    config, env = resolve_request(request)
    from arl_core.runtime.measuring.bench import BenchOptions, bench
    from arl_core.runtime.processes.failure import ComponentFailure

    try:
        result = bench(config, env, BenchOptions(seconds, rounds, timeout_s), _tell)
    except ComponentFailure as failure:
        print(f"failed: {failure}\n{failure.detail}".rstrip(), file=sys.stderr)
        return 1
    if isinstance(output, str):  # first: whoever reads what is printed may stop in the middle
        _write(Path(output), result)
    if request.others.get("json"):
        print_json(result)
    else:
        print("\n".join(report(result, line_width())))
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _check_output(path: Path) -> None:
    """Before anything is measured. Raises UserError."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"--output {path}: there is no folder {folder}")
    if path.is_dir():
        raise UserError(f"--output {path}: that is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--output {path}: the folder {folder} is not writable")


def _write(path: Path, result: Mapping[str, Any]) -> None:
    from arl_core.monitoring.summary import write_json_atomic

    try:
        write_json_atomic(path, result)
    except OSError as error:
        raise UserError(f"--output {path}: cannot be written: {error.strerror}") from None


def report(result: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """The result for people, in lines of `width` characters (but tables of 60). The round whose efficiency is nearest to the
    median is the one that is taken apart."""
    middle = min(result["rounds"], key=lambda entry: abs(entry["efficiency"] - result["efficiency"]))
    shares = ", ".join(f"{entry['efficiency']:.3f}" for entry in result["rounds"])
    return [
        *(line for text in _setting(result["setting"]) for line in wrapped(text, width=width)),
        "",
        *_parts(result["setting"], middle),
        "",
        *wrapped(
            f"limit {result['limit_fps']:,.0f}, run {result['fps']:,.0f} frames per second: "
            f"efficiency {result['efficiency']:.3f} (rounds: {shares})",
            width=width,
        ),
        "",
        "core microseconds per frame, alone and in the run:",
        *_comparison(middle),
        "",
        "percent of each process's time:",
        *_processes(middle["processes"], width),
        "",
        *wrapped(_traffic(result["traffic"], middle), width=width),
    ]


def _setting(setting: Mapping[str, Any]) -> list[str]:
    mode = "serial" if setting["serial"] else f"{setting['inference']} inference"
    policy = f", {setting['policy_workers']} policy worker(s)" if setting["policy_workers"] else ""
    batches, passes = setting["num_batches_per_iteration"], setting["ppo_epochs"]
    trainer = "every worker trains (hogwild)" if setting["hogwild"] else f"learner on {setting['device']}"
    cores = "1 core" if setting["cores"] == 1 else f"{setting['cores']} cores"
    return [
        f"{setting['env']}, {setting['algo']}, {cores}, {trainer}",
        f"{setting['num_workers']} workers x {setting['num_envs_per_worker']} environments"
        f" in {setting['groups_per_worker']} group(s){policy}, {mode}",
        f"rollout {setting['rollout']}, {batches} batch(es) of {setting['batch_size']} frames, {passes} pass(es)",
    ]


def _parts(setting: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    rows = [
        ("part, alone on one thread", "us/frame", "at its fastest"),
        ("environment", _micro(entry["environment_s"]), f"{entry['environment_rows']} in one group"),
        ("inference", _micro(entry["inference_s"]), f"batch {entry['inference_rows']}, {entry['inference_way']}"),
        (
            "training",
            _micro(entry["training_s"]),
            "none" if not entry["training_s"] else f"an iteration on {setting['device']}",
        ),
    ]
    return aligned(rows)


def _comparison(entry: Mapping[str, Any]) -> list[str]:
    rows = [("", "alone", "in the run")]
    for name, seconds in entry["in_run_s"].items():
        alone = entry.get(f"{name}_s")
        rows.append((name, "" if alone is None else _micro(alone), _micro(seconds)))
    return aligned(rows, indent="  ")


def _processes(processes: Mapping[str, Mapping[str, float]], width: int) -> list[str]:
    """A column for each process; where that is too wide, for each kind of process: their mean."""
    each = {name: [share] for name, share in processes.items()}
    lines = _shares(each)
    return lines if max(map(len, lines)) <= width else _shares(_by_kind(processes))


def _shares(columns: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    rows = [("", *columns)]
    for name in _SHARES:
        means = (sum(share[name] for share in shares) / len(shares) for shares in columns.values())
        rows.append((name.replace("_", " "), *(f"{100 * mean:.1f}" for mean in means)))
    return aligned(rows, indent="  ")


def _by_kind(processes: Mapping[str, Mapping[str, float]]) -> dict[str, list[Mapping[str, float]]]:
    kinds: dict[str, list[Mapping[str, float]]] = {}
    for name, share in processes.items():
        kinds.setdefault(name.partition("-")[0], []).append(share)
    return {f"{len(shares)} x {kind}" if len(shares) > 1 else kind: shares for kind, shares in kinds.items()}


def _traffic(moved: Mapping[str, float], entry: Mapping[str, Any]) -> str:
    rings = sum(share["rings_per_s"] for share in entry["processes"].values()) / entry["fps"]
    stacks = f"; {moved['stacks']:,.0f} of whole stacks, to act on and once more in the batch" if moved["stacks"] else ""
    return (
        f"moved per frame: {moved['slot']:,.1f} bytes into slots, {moved['batch']:,.1f} into batches "
        f"(at least {moved['least']:,.1f} each){stacks}; {rings:.4f} bells rung"
    )


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.2f}"
