"""Recorded learning results: the defaults of `arl run`, several seeds, frames and wall-clock.

    python benchmarks/learning.py cartpole [--seeds 1 2 3 4 5]     evaluated after training; time to a training mean of 475
    python benchmarks/learning.py a3c [--seeds 1 2]                A3C with a learner and as published (hogwild), in turns
    python benchmarks/learning.py maze 5 [--seeds 1] [--frames N]  unseen 5 x 5 mazes from grid observations; 10 for 10 x 10
    python benchmarks/learning.py record ENV [--seeds 1 2 3 4 5] [--set FIELD=VALUE ...] [--markdown]
        any environment, as `arl run --env ENV` trains it: JSON (or a table for docs/benchmarks.md) with mean, deviation and
        95% confidence interval of the training return (last 100 episodes) and of 100 greedy episodes afterwards

Times count from the start of a fresh Python process, imports included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

GOAL = 475.0
CURVE_POINTS = 20
# Student's t: half the width of a 95% confidence interval in standard errors, by the number of runs
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
# 1M frames: CleanRL's documentation (training return), RL Baselines3 Zoo's benchmark (evaluation, version 3 of the robots)
PUBLISHED = {
    "HalfCheetah": {"CleanRL PPO": 1443, "SB3-zoo PPO": 5819},
    "Hopper": {"CleanRL PPO": 2383, "SB3-zoo PPO": 2410},
    "Walker2d": {"CleanRL PPO": 2288, "SB3-zoo PPO": 3479},
}


def cartpole_run(seed: int, until_goal: bool) -> None:
    """One run in this process, as a child of `cartpole`: to the goal, or to the default number of frames."""
    from arl_core import APPO

    def callback(values: Mapping[str, Any]) -> bool:
        mean = values["return_mean"]
        return not (until_goal and mean is not None and values["episodes"] >= 100 and mean >= GOAL)

    with APPO(env="gym_CartPole-v1", num_workers=2, num_envs_per_worker=32, policy_kwargs={"seed": seed}) as model:
        status = model.train(500_000 if until_goal else model.config.train_for_env_steps, callback=callback)
        result = {"frames": status.frames, "training_mean": status.return_mean, "fps": status.fps}
        if not until_goal:
            result |= {"evaluation": model.evaluate(100, deterministic=True)["return_mean"]}
        print(json.dumps(result))


def timed_child(*arguments: str) -> tuple[float, dict[str, Any]]:
    """(seconds from the start of a fresh process to its end, what it printed)."""
    begin = time.perf_counter()
    out = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    return time.perf_counter() - begin, json.loads(out.splitlines()[-1])


def cartpole(seeds: list[int]) -> None:
    evaluations, times = [], []
    for seed in seeds:
        _, result = timed_child("cartpole-run", str(seed))
        seconds, to_goal = timed_child("cartpole-run", str(seed), "--until-goal")
        evaluations.append(result["evaluation"])
        times.append(seconds)
        print(
            f"seed {seed}: evaluation {result['evaluation']:.1f} after {result['frames']:,} frames; training mean "
            f"{to_goal['training_mean']:.1f} after {seconds:.1f} s and {to_goal['frames']:,} frames",
            flush=True,
        )
    mean, deviation = statistics.mean(evaluations), statistics.pstdev(evaluations)
    print(
        f"evaluation {mean:.1f} +- {deviation:.1f} (least {min(evaluations):.1f}); "
        f"seconds to {GOAL:g}: median {statistics.median(times):.1f}, longest {max(times):.1f}"
    )


def record_run(env: str, seed: int, episodes: int, settings: Mapping[str, str]) -> None:
    """One run in this process, as a child of `record`: the defaults of `arl run --env ENV`, then an evaluation."""
    from arl_core import APPO
    from arl_core.config import Layer
    from arl_core.registry import resolve_run

    given = {"env": env, "seed": str(seed), **settings}
    cfg = resolve_run(Layer("record", given))[0].config
    curve: list[tuple[int, float | None]] = []

    def callback(values: Mapping[str, Any]) -> None:
        if values["frames"] * CURVE_POINTS >= (len(curve) + 1) * cfg.train_for_env_steps:
            curve.append((values["frames"], values["return_mean"]))

    kwargs = {
        name: value for name, value in given.items() if name not in ("env", "num_workers", "num_envs_per_worker", "device")
    }
    with APPO(
        env=env,
        num_workers=cfg.num_workers,
        num_envs_per_worker=cfg.num_envs_per_worker,
        device=cfg.device,
        policy_kwargs=kwargs,
    ) as model:
        begin = time.perf_counter()
        status = model.train(cfg.train_for_env_steps, callback=callback)
        seconds = time.perf_counter() - begin
        if status != status.SUCCESS:
            sys.exit(f"seed {seed}: the run ended with {status!r}")
        result = {"seed": seed, "frames": status.frames, "training_seconds": round(seconds, 1), "curve": curve}
        result |= {"training_return": status.return_mean, "env": model.resolved_env.id}
        result |= {"evaluation_return": model.evaluate(episodes, deterministic=True)["return_mean"]}
    print(json.dumps(result))


def spread(values: list[float]) -> dict[str, float]:
    """Mean, sample deviation, and half the width of the mean's 95% confidence interval (Student's t)."""
    if len(values) < 2:
        return {"mean": values[0], "deviation": math.nan, "ci95": math.nan}
    deviation = statistics.stdev(values)
    half = T_95.get(len(values), 1.96) * deviation / math.sqrt(len(values))
    return {"mean": statistics.mean(values), "deviation": deviation, "ci95": half}


def record(env: str, seeds: list[int], episodes: int, settings: list[str], markdown: bool) -> None:
    runs = []
    for seed in seeds:
        seconds, result = timed_child("record-run", env, str(seed), str(episodes), *settings)
        runs.append({**result, "process_seconds": round(seconds, 1)})
        line = {name: value for name, value in runs[-1].items() if name != "curve"}
        print(json.dumps(line), file=sys.stderr, flush=True)
    name = runs[0].pop("env")
    for run in runs[1:]:
        del run["env"]
    flags = "".join(f" --{setting.replace('=', ' ', 1)}" for setting in settings)
    summary: dict[str, Any] = {
        "env": name,
        "command": f"arl run --env {env}{flags} --seed SEED",
        "evaluation_episodes": episodes,
        "cores": len(os.sched_getaffinity(0)),
        "versions": {dist: metadata.version(dist) for dist in ("arl-core", "torch", "numpy", "gymnasium")},
    }
    for key in ("training_return", "evaluation_return", "training_seconds", "process_seconds", "frames"):
        summary[key] = spread([run[key] for run in runs])
    summary["published"] = PUBLISHED.get(name.partition(":")[2].partition("-")[0], {})
    print(as_table(summary, runs) if markdown else json.dumps({**summary, "runs": runs}, indent=1))


def as_table(summary: Mapping[str, Any], runs: list[dict[str, Any]]) -> str:
    """What `record` found, as docs/benchmarks.md has it."""
    lines = [
        f"`{summary['command']}`, {len(runs)} runs",
        "",
        f"| seed | training return, last 100 episodes | {summary['evaluation_episodes']} greedy episodes | frames | training |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        returns = f"{run['training_return']:,.0f} | {run['evaluation_return']:,.0f}"
        lines.append(f"| {run['seed']} | {returns} | {run['frames']:,} | {run['training_seconds']:.0f} s |")
    for label, key in (("mean", "mean"), ("deviation", "deviation"), ("95% interval, +-", "ci95")):
        returns = f"{summary['training_return'][key]:,.0f} | {summary['evaluation_return'][key]:,.0f}"
        lines.append(f"| {label} | {returns} | | {summary['training_seconds'][key]:.0f} s |")
    lines += [f"| {source} | {value:,} | | 1,000,000 | |" for source, value in summary["published"].items()]
    return "\n".join(lines)


def random_rate(env: Any, cfg: Any, episodes: int) -> float:
    """Share of mazes that uniformly random moves solve within twice the shortest path."""
    from arl_core.envs.group import build_group, make_contexts
    from arl_core.interfaces import StepViews

    group = build_group(env, make_contexts(cfg.seed, 1 << 21, episodes))
    obs = {key: np.zeros((episodes, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    flags = np.zeros((3, episodes), bool)
    views = StepViews(obs, np.zeros(episodes, np.float32), *flags)
    group.reset_into(obs)
    rng, within = np.random.default_rng(0), np.full(episodes, -1.0)
    while (within < 0).any():
        group.send(rng.integers(0, 4, (episodes, 1)))
        ends = group.recv_into(views)
        if ends is not None:
            first = within[ends.rows] < 0
            within[ends.rows[first]] = ends.metrics["optimality"][first] >= 0.5
    return float(within.mean())


def maze(size: int, seeds: list[int], frames: int, episodes: int = 1000) -> None:
    from arl_core import APPO
    from arl_core.registry import resolve_env
    from arl_core.runtime.evaluate import evaluate_cast
    from arl_core.sampling.playing import Cast

    options = {"observation": "grid", "new_maze_each_episode": True}
    # played until twice the longest of shortest paths: who is still on the way then has failed
    played_env = resolve_env(f"maze:random-{size}x{size}", {**options, "max_steps": 2 * size * size})
    for seed in seeds:
        kwargs = {"seed": seed, "env_options": options}
        with APPO(env=f"maze:random-{size}x{size}", num_workers=2, num_envs_per_worker=64, policy_kwargs=kwargs) as model:

            def rate(model: Any = model) -> float:
                network = model._trainer.models[0]
                network.load_state_dict(model.get_parameters()[0])
                played = evaluate_cast(Cast([network]), played_env, model.config, episodes=episodes, deterministic=True)
                return float(np.mean(np.array(played.metrics["optimality"]) >= 0.5))

            untrained = rate()
            begin = time.perf_counter()
            status = model.train(frames)
            seconds = time.perf_counter() - begin
            print(
                f"seed {seed}: {rate():.1%} of {episodes} unseen {size} x {size} mazes solved within twice the shortest path, "
                f"after {status.frames:,} frames and {seconds:.0f} s; untrained network {untrained:.1%}, "
                f"random moves {random_rate(played_env, model.config, episodes):.1%}",
                flush=True,
            )


def a3c_run(seed: int, hogwild: bool, frames: int = 300_000, workers: int = 2, envs: int = 16, rollout: int = 20) -> None:
    """CartPole under the optimiser and gradients of the paper, in this process; both kinds take equally large batches."""
    from arl_core import A3C

    kwargs = {
        "seed": seed, "hogwild": hogwild, "rollout": rollout, "batch_size": rollout * envs, "optimizer": "rmsprop",
        "rmsprop_eps": 1e-5, "learning_rate": 1e-3, "max_grad_norm": 0.5, "reward_scale": 0.1, "normalize_advantages": False,
        "exploration_loss_coeff": 0.0,
    }  # fmt: skip
    means: list[int] = []
    last: dict[str, Any] = {}
    with A3C(env="gym:CartPole-v1", num_workers=workers, num_envs_per_worker=envs, policy_kwargs=kwargs) as model:
        for _ in range(6):
            status = model.train(frames // 6, callback=last.update)
            means.append(round(status.return_mean or 0.0))
        lag_max = max(policy["policy_lag_max"] for policy in last["policies"])
        result = {"training_means": means, "fps": status.fps, "lag_mean": last["policy_lag_mean"], "lag_max": lag_max}
        print(json.dumps(result | {"evaluation": model.evaluate(20, deterministic=True)["return_mean"]}))


def a3c(seeds: list[int]) -> None:
    for seed in seeds:
        for kind in ("learner", "hogwild"):
            _, result = timed_child("a3c-run", str(seed), *(["--hogwild"] if kind == "hogwild" else []))
            print(f"seed {seed}, {kind}: {json.dumps(result)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("cartpole")
    command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    command = commands.add_parser("a3c")
    command.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    command = commands.add_parser("a3c-run")
    command.add_argument("seed", type=int)
    command.add_argument("--hogwild", action="store_true")
    command = commands.add_parser("maze")
    command.add_argument("size", type=int)
    command.add_argument("--seeds", type=int, nargs="+", default=[1])
    command.add_argument("--frames", type=int, default=1_000_000)
    command = commands.add_parser("cartpole-run")
    command.add_argument("seed", type=int)
    command.add_argument("--until-goal", action="store_true")
    command = commands.add_parser("record")
    command.add_argument("env")
    command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    command.add_argument("--episodes", type=int, default=100)
    command.add_argument("--set", dest="settings", nargs="+", default=[], metavar="FIELD=VALUE")
    command.add_argument("--markdown", action="store_true")
    command = commands.add_parser("record-run")
    command.add_argument("env")
    command.add_argument("seed", type=int)
    command.add_argument("episodes", type=int)
    command.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.env, arguments.seeds, arguments.episodes, arguments.settings, arguments.markdown)
    elif arguments.command == "record-run":
        settings = dict(setting.split("=", 1) for setting in arguments.settings)
        record_run(arguments.env, arguments.seed, arguments.episodes, settings)
    elif arguments.command == "cartpole":
        cartpole(arguments.seeds)
    elif arguments.command == "a3c":
        a3c(arguments.seeds)
    elif arguments.command == "a3c-run":
        a3c_run(arguments.seed, arguments.hogwild)
    elif arguments.command == "maze":
        maze(arguments.size, arguments.seeds, arguments.frames)
    else:
        cartpole_run(arguments.seed, arguments.until_goal)


if __name__ == "__main__":
    main()
