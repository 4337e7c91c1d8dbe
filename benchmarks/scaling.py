"""How a run grows: workers, environments, memory of a rollout worker, time to the first frame. Each probe in a fresh process.

    python benchmarks/scaling.py [--seconds 2] [--workers 1 4 16 64] [--envs 1 16 256 2048] [--json FILE]

`--workers`: rollout workers with four environments each; `--envs`: environments of each of two workers; with CartPole and local
inference; for memory and the 64 workers' start-up also central. A *collapse* is a probe with less than half the frames per
second of the best one before it. USS is the memory that no other process shares.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLLAPSE = 0.5
TIMEOUT_S = 120.0


def probe(setting: Mapping[str, Any]) -> dict[str, float]:
    """One run, in this process: frames per second after the first frame, seconds to it, USS of its rollout workers."""
    began = time.perf_counter()
    import psutil

    from arl_core import APPO

    seconds = float(setting["seconds"])
    seen: list[tuple[float, int]] = []
    uss: list[float] = []

    def callback(values: Mapping[str, Any]) -> bool:
        now = time.perf_counter()
        if values["frames"]:
            seen.append((now, int(values["frames"])))
        if len(seen) < 2 or now - seen[0][0] < seconds:
            return now - began < TIMEOUT_S / 2
        workers = [p for p in psutil.Process().children(recursive=True) if p.name().startswith("arl-rollout")]
        uss.extend(worker.memory_full_info().uss / 2**20 for worker in workers)
        return False

    kwargs = {"inference": setting["inference"], "batch_size": 2048, "hidden_size": 64, "max_policy_lag": 10**6}
    model = APPO("gym:CartPole-v1", num_workers=setting["workers"], num_envs_per_worker=setting["envs"], policy_kwargs=kwargs)
    with model:
        status = model.train(10**9, callback=callback)
    if status == 2:
        raise SystemExit(f"the run failed: {status.error}")
    if len(seen) < 2:
        raise SystemExit("no two batches were trained on")
    (t0, f0), (t1, f1) = seen[0], seen[-1]
    return {"fps": (f1 - f0) / (t1 - t0), "first_frame_s": t0 - began, "uss_mib": statistics.median(uss or [0.0])}


def in_fresh_process(setting: Mapping[str, Any]) -> dict[str, Any]:
    """What `probe` gives, or why it failed."""
    command = [sys.executable, str(Path(__file__).resolve()), "--probe", json.dumps(dict(setting))]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {**setting, "error": "did not end in time"}
    if done.returncode:
        return {**setting, "error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "failed"}
    return {**setting, **json.loads(done.stdout.splitlines()[-1])}


def series(name: str, settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Probes in their order, printed as they come; a collapse is named."""
    results: list[dict[str, Any]] = []
    best = 0.0
    for setting in settings:
        result = in_fresh_process(setting)
        text = ", ".join(f"{setting[key]} {key}" for key in ("workers", "envs", "inference"))
        if "error" in result:
            print(f"{name}: {text}: FAILED: {result['error']}", flush=True)
        else:
            result["collapse"] = result["fps"] < COLLAPSE * best
            best = max(best, result["fps"])
            word = "  COLLAPSE" if result["collapse"] else ""
            figures = (
                f"{result['fps']:,.0f} FPS, first frame after {result['first_frame_s']:.1f} s, {result['uss_mib']:.1f} MiB"
            )
            print(f"{name}: {text}: {figures} a worker{word}", flush=True)
        results.append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each probe, after its first frame")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--envs", type=int, nargs="*", default=[1, 4, 16, 64, 256, 1024, 2048])
    parser.add_argument("--central", type=int, nargs="*", default=[1, 2, 64], help="rollout workers, in central mode")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        print(json.dumps(probe(json.loads(arguments.probe))))
        return
    common = {"seconds": arguments.seconds}
    result = {
        "workers": series("workers", [{**common, "workers": n, "envs": 4, "inference": "local"} for n in arguments.workers]),
        "envs": series("envs", [{**common, "workers": 2, "envs": n, "inference": "local"} for n in arguments.envs]),
        "central": series("central", [{**common, "workers": n, "envs": 4, "inference": "central"} for n in arguments.central]),
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
