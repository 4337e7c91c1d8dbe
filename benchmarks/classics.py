"""Recorded learning on small tasks: `arl run --env ENV` with its defaults, then 100 episodes; each seed in a fresh process.

    python benchmarks/classics.py                                     what there is
    python benchmarks/classics.py Acrobot-v1 [--seeds 11 12 13 14 15] [-- --learning-rate 1e-4 ...]

Seconds count from the start of `arl run` to its end, imports included; core seconds are the processor time of all its
processes, which says more where the machine has other work. What follows `--` goes to `arl run`. The evaluation plays with the
last weights: greedy, and with actions drawn as in training.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TASKS = {
    "CartPole-v1": "gym:CartPole-v1",
    "Acrobot-v1": "gym:Acrobot-v1",
    "Pendulum-v1": "gym:Pendulum-v1",
    "LunarLander-v3": "gym:LunarLander-v3",
    "DoorKey-5x5": "minigrid:DoorKey-5x5",
    "MemoryS7": "minigrid:MemoryS7",
}
EPISODES = 100


def arl(*arguments: str) -> str:
    """What a command of the command line prints."""
    command = [sys.executable, "-m", "arl_core", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def core_seconds() -> float:
    """Processor time of the processes that this one has waited for, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def record(env: str, seed: int, extra: list[str]) -> dict[str, Any]:
    """Train and evaluate one seed: frames, seconds, mean returns."""
    with tempfile.TemporaryDirectory() as folder:
        begin, core_begin = time.perf_counter(), core_seconds()
        arl("run", "--env", env, "--seed", str(seed), "--train-dir", folder, "--experiment", "run", *extra)
        seconds, core = time.perf_counter() - begin, core_seconds() - core_begin
        run = Path(folder) / "run"
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        returns = {}
        for name, flag in (("greedy", "--deterministic"), ("drawn", "--no-deterministic")):
            returns[name] = json.loads(arl("eval", str(run), "--json", "--episodes", str(EPISODES), flag))["return_mean"]
    return {"frames": summary["frames"], "seconds": seconds, "core": core, "training": summary["return_mean"], **returns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    own, _, extra = " ".join(sys.argv[1:]).partition(" -- ")
    arguments = parser.parse_args(own.split())
    if arguments.task is None:
        parser.print_help()
        return
    rows = []
    for seed in arguments.seeds:
        row = record(TASKS[arguments.task], seed, extra.split())
        rows.append(row)
        print(
            f"seed {seed}: greedy {row['greedy']:.3f}, drawn {row['drawn']:.3f}, training {row['training']:.3f}; "
            f"{row['frames']:,} frames, {row['seconds']:.1f} s, {row['core']:.1f} core s",
            flush=True,
        )
    for name in ("greedy", "drawn"):
        returns = [row[name] for row in rows]
        print(f"{name} {statistics.mean(returns):.3f} +- {statistics.pstdev(returns):.3f}")
    seconds, core = (statistics.median(row[name] for row in rows) for name in ("seconds", "core"))
    print(f"median {seconds:.1f} s, {core:.1f} core s")


if __name__ == "__main__":
    main()
