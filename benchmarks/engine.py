"""The engine's speed as a share of the machine's limit, in turn with the parts that the limit is made of (A B A B).

    python benchmarks/engine.py [--env gym:CartPole-v1] [--workers 2] [--envs 32] [--inference local|central]
                                [--seconds 10] [--rounds 3] [--json]

`parts.py` measures the parts without importing arl_core. FPS are frames (environment transitions) that were trained on,
per second, over the last `--seconds` of a run, warm-up and start excluded.
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

HERE = Path(__file__).parent
WARM_UP_S = 3.0


def measure_parts(env: str, envs: int, batch: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "parts.py"), "--env", env.removeprefix("gym:")]
    command += ["--inference-batch", str(envs), "--training-batch", str(batch)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    parts: dict[str, float] = json.loads(out)
    return parts


def measure_engine(arguments: argparse.Namespace) -> float:
    """Trained frames per second."""
    from arl_core import APPO

    marks: list[tuple[float, int]] = []
    begin = time.perf_counter()

    def callback(values: Mapping[str, Any]) -> bool:
        now = time.perf_counter()
        if values["seconds"] > WARM_UP_S:
            marks.append((now, int(values["frames"])))
        return bool(values["seconds"] < WARM_UP_S + arguments.seconds)

    kwargs = {
        "inference": arguments.inference,
        "hidden_size": 64,
        "batch_size": arguments.batch_size,
        "num_batches_per_iteration": 1,
        "ppo_epochs": 1,  # one pass, as the training part measures
        "seed": int(begin) % 1000,
        "learning_rate": 1e-3,
        "reward_scale": 0.1,
    }
    model = APPO(
        env=arguments.env,
        encoder="mlp",
        num_workers=arguments.workers,
        num_envs_per_worker=arguments.envs,
        policy_kwargs=kwargs,
    )
    with model:
        status = model.train(10**9, callback=callback)
    if status == 2:
        raise SystemExit(f"the run failed: {status.error}")
    (t0, f0), (t1, f1) = marks[0], marks[-1]
    return (f1 - f0) / (t1 - t0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="gym:CartPole-v1")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--envs", type=int, default=32, help="environments per worker")
    parser.add_argument("--inference", choices=["local", "central"], default="local")
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rounds = []
    for number in range(arguments.rounds):
        parts = measure_parts(arguments.env, arguments.workers * arguments.envs, arguments.batch_size)
        fps = measure_engine(arguments)
        shares = {"efficiency": fps / parts["limit_fps"], "share_of_fastest": fps / parts["fastest_limit_fps"]}
        rounds.append({**parts, "fps": fps, **shares})
        if not arguments.json:
            micro = ", ".join(f"{key[:-2]} {parts[key] * 1e6:.2f} us" for key in ("env_s", "inference_s", "training_s"))
            limit, share = parts["limit_fps"], rounds[-1]["efficiency"]
            fastest = f"{rounds[-1]['share_of_fastest']:.3f} of the fastest repetitions'"
            print(f"round {number + 1}: {micro}; limit {limit:,.0f}; FPS {fps:,.0f}; share {share:.3f} ({fastest})", flush=True)
    result = {
        "setting": {k: getattr(arguments, k) for k in ("env", "workers", "envs", "inference", "batch_size")},
        "fps": statistics.median(r["fps"] for r in rounds),
        "limit_fps": statistics.median(r["limit_fps"] for r in rounds),
        "efficiency": statistics.median(r["efficiency"] for r in rounds),
        "rounds": rounds,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"median: FPS {result['fps']:,.0f} of {result['limit_fps']:,.0f}: share {result['efficiency']:.3f}")


if __name__ == "__main__":
    main()
