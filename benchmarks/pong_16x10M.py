"""Atari Pong, 16 calls of `train(10_000_000)` on the same processes and environments: returns and speed of each call.

    python benchmarks/pong_16x10M.py [--json FILE]                            the whole protocol: a GPU and many cores
    python benchmarks/pong_16x10M.py --calls 3 --frames 20000                 what a CPU does in minutes
    options: --num-workers, --num-envs-per-worker (numbers, or auto), --device, --seed, --set FIELD=VALUE

Frames are environment transitions, one for each action of the agent; each is 4 raw frames of the game (the frame skip). Where
the raw ones are meant it says raw, so 16 x 10,000,000 frames are 640,000,000 raw ones; with `--frames 2500000` the protocol is
one of raw frames.

Before and after the training each core steps games alone, with random actions and without a network: pure simulation. The last
line says which part of that the training reaches, and when the mean return of the last 100 games came to 20 (21 is perfect).
JSON is rewritten after each call.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ENV = "atari:pong"
WINDOW = 100  # games in a mean return
FIRST_INDEX = 1 << 22  # games that are simulated alone are no training's
# thousands of games fill batches faster than several passes could train on them: each is used once, V-trace corrects its lag
SETTINGS = {
    "rollout": 32,
    "batch_size": 512,
    "num_batches_per_iteration": 1,
    "ppo_epochs": 1,
    "with_vtrace": True,
}
COLUMNS = ("call", "frames", "raw frames", "seconds", "FPS", "raw FPS", "mean return", "games")


@dataclass(frozen=True)
class Call:
    """One call of `train`. Seconds are of training alone: the start of the processes is not in them."""

    frames: int
    raw_frames: int
    seconds: float
    fps: float
    raw_fps: float
    return_mean: float | None
    games: int  # that have ended since the beginning


class Watch:
    """The callback of `train`: notes when a full window of games first has the mean return `goal`."""

    def __init__(self, goal: float) -> None:
        self._goal = goal
        self._begin = time.perf_counter()
        self.games = 0
        self.reached: dict[str, float] | None = None

    def __call__(self, values: Mapping[str, Any]) -> None:
        self.games = values["episodes"]
        mean = values["return_mean"]
        if self.reached is None and self.games >= WINDOW and mean is not None and mean >= self._goal:
            wall_s = time.perf_counter() - self._begin
            self.reached = {"frames": values["frames"], "training_s": values["seconds"], "wall_s": wall_s, "return_mean": mean}


# --------------------------------------------------------------------------- pure simulation


def simulate(envs: int, process: int, seconds: float) -> None:
    """A process that steps games alone, as a child of `simulation_fps`: prints its frames per second."""
    from arl_core.envs.group import build_group, make_contexts
    from arl_core.interfaces import StepViews
    from arl_core.registry import resolve_env

    group = build_group(resolve_env(ENV), make_contexts(0, FIRST_INDEX + process * envs, envs))
    obs = {key: np.zeros((envs, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    views = StepViews(obs, np.zeros(envs, np.float32), *np.zeros((3, envs), bool))
    group.reset_into(obs)
    actions = np.random.default_rng(process).integers(0, 6, (1024, envs, 1))
    for action in actions[:32]:
        group.send(action)
        group.recv_into(views)
    print("ready", flush=True)
    sys.stdin.readline()
    frames = steps = 0
    begin = now = time.perf_counter()
    while now - begin < seconds:
        group.send(actions[steps % len(actions)])
        group.recv_into(views)
        frames += int(np.count_nonzero(views.valid))
        steps += 1
        now = time.perf_counter()
    print(frames / (now - begin), flush=True)
    group.close()


def simulation_fps(envs: int, seconds: float) -> float:
    """Frames per second of as many processes as there are cores, each with `envs` games and nothing else, all at once."""
    command = [sys.executable, str(Path(__file__).resolve()), "--simulate"]
    children = [
        subprocess.Popen(
            [*command, json.dumps({"envs": envs, "process": number, "seconds": seconds})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(cores())
    ]  # fmt: skip
    try:
        for child in children:
            _line(child)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        return sum(float(_line(child)) for child in children)
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit("a process that simulates has failed; see the output above")
    return line


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --------------------------------------------------------------------------- the protocol


def run(options: argparse.Namespace) -> int:
    """Returns the exit code."""
    from arl_core import APPO
    from arl_core.monitoring.summary import write_json_atomic

    model = APPO(
        ENV,
        num_workers=options.num_workers,
        num_envs_per_worker=options.num_envs_per_worker,
        device=options.device,
        policy_kwargs={**SETTINGS, "seed": options.seed, "stats_window": WINDOW, **dict(options.set)},
    )
    with model:
        result = describe(model, options)
        print(heading(result), flush=True)
        simulated = [simulation_fps(model.config.num_envs_per_worker, options.simulation_seconds)]
        watch = Watch(options.goal)
        calls: list[Call] = []
        status: int = 0
        for _ in range(options.calls):
            outcome = model.train(options.frames, callback=watch)
            status = int(outcome)
            if status == outcome.FAILURE:
                break
            calls.append(call_of(outcome, calls, watch.games, result["frame_skip"]))
            print(row(len(calls), calls[-1]), flush=True)
            result |= {"calls": [asdict(call) for call in calls], "goal_reached": watch.reached}
            if options.json:
                write_json_atomic(Path(options.json), result)
            if status:
                break
    if status:
        print(f"ended early: {outcome!r}", file=sys.stderr)
        return status
    simulated.append(simulation_fps(model.config.num_envs_per_worker, options.simulation_seconds))
    result |= conclusion(calls, simulated)
    print(closing(result), flush=True)
    if options.json:
        write_json_atomic(Path(options.json), result)
    return 0


def call_of(outcome: Any, before: list[Call], games: int, frame_skip: int) -> Call:
    """What the last call came to, from totals over all calls."""
    frames = outcome.frames - sum(call.frames for call in before)
    total_s = outcome.frames / outcome.fps if outcome.fps else 0.0
    seconds = total_s - sum(call.seconds for call in before)
    fps = frames / seconds if seconds > 0 else 0.0
    return Call(frames, frames * frame_skip, seconds, fps, fps * frame_skip, outcome.return_mean, games)


def describe(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    cfg = model.config
    return {
        "env": model.resolved_env.id,
        "frames": "environment transitions; raw frames = frames x frame_skip",
        "frame_skip": int(model.resolved_env.options["frame_skip"]),
        "protocol": f"{options.calls} x train({options.frames})",
        "goal": options.goal,
        "command": " ".join(["python", "benchmarks/pong_16x10M.py", *sys.argv[1:]]),
        "cores": cores(),
        "machine": platform.machine(),
        "device": model._trainer.plan.device,
        "inference": model._trainer.plan.inference,
        "num_workers": cfg.num_workers,
        "num_envs_per_worker": cfg.num_envs_per_worker,
        "seed": cfg.seed,
        "versions": {dist: metadata.version(dist) for dist in ("arl-core", "arl-plugin-atari", "ale-py", "torch", "numpy")},
    }


def conclusion(calls: list[Call], simulated: list[float]) -> dict[str, Any]:
    """Speed over all calls, beside pure simulation."""
    fps = sum(call.frames for call in calls) / sum(call.seconds for call in calls)
    alone = statistics.mean(simulated)
    return {"fps": fps, "simulation_fps": simulated, "fraction_of_simulation": fps / alone}


def heading(result: Mapping[str, Any]) -> str:
    skip = result["frame_skip"]
    lines = [
        f"{result['env']}, APPO, {result['protocol']}, "
        f"{result['num_workers']} workers x {result['num_envs_per_worker']} environments, "
        f"{result['inference']} inference, learner on {result['device']}, {result['cores']} cores",
        f"Frames are environment transitions; raw frames are {skip} times as many (frame skip {skip}).",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
    ]
    return "\n".join(lines)


def row(number: int, call: Call) -> str:
    mean = "-" if call.return_mean is None else f"{call.return_mean:.2f}"
    cells = (
        number, f"{call.frames:,}", f"{call.raw_frames:,}", f"{call.seconds:.1f}", f"{call.fps:,.0f}", f"{call.raw_fps:,.0f}",
        mean, f"{call.games:,}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def closing(result: Mapping[str, Any]) -> str:
    skip, reached = result["frame_skip"], result["goal_reached"]
    before, after = result["simulation_fps"]
    if reached is None:
        goal = f"A mean return of {result['goal']:g} was not reached."
    else:
        goal = (
            f"A mean return of {result['goal']:g} was reached after {reached['training_s']:.1f} s of training "
            f"({reached['wall_s']:.1f} s with the start) and {reached['frames']:,} frames."
        )
    return (
        f"\n{goal}\nAll calls: {result['fps']:,.0f} FPS ({skip * result['fps']:,.0f} raw), "
        f"{result['fraction_of_simulation']:.1%} of pure simulation on {result['cores']} cores, "
        f"which is {before:,.0f} FPS before and {after:,.0f} after."
    )


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got '{text}'")
    return int(text)


def positive_or_auto(text: str) -> int | str:
    return text if text == "auto" else positive(text)


def setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected FIELD=VALUE, got '{text}'")
    return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=positive, default=16)
    parser.add_argument("--frames", type=positive, default=10_000_000, help="environment transitions of each call")
    parser.add_argument("--num-workers", type=positive_or_auto, default=cores(), help="default: as many as cores")
    parser.add_argument("--num-envs-per-worker", type=positive_or_auto, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal", type=float, default=20.0, help="mean return that is noted when it is reached")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="FIELD=VALUE", help="any other field of the configuration"
    )
    parser.add_argument("--simulation-seconds", type=float, default=5.0, help="of pure simulation, before and after")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--simulate", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        simulate(**json.loads(options.simulate))
        return 0
    from arl_core import UserError

    try:
        return run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
