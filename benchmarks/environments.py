"""What an environment's steps cost, and what a run with its defaults reaches: the figures of docs/environments.md.

    python benchmarks/environments.py --env nasim:small                  speed alone, and one training of the default length
    python benchmarks/environments.py --env nasim:small --frames 500000 --seeds 1 2 3
    python benchmarks/environments.py --env nasim:small --alone          speed alone; recorded trainings stay
    python benchmarks/environments.py --env nasim:small --speed          speed alone and in a minute of training; they stay too
    python benchmarks/environments.py --env nasim:small --serial         trained in one process, reproducibly
    python benchmarks/environments.py --env atari:pong --set precision=bfloat16   not by default: recorded too

Writes the environment's entry in plugins/FAMILY/docs/speed.json; then run `python docs/generate.py`. Alone: one worker's
environments on one core, random actions (allowed ones, where there is a mask), resets included. In training: on two cores.
The result is the mean return of the last training episodes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core import APPO
from arl_core.config import Layer, RunConfig
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.spaces import ActionLayout
from arl_core.files import write_atomic
from arl_core.interfaces import StepViews, UserError
from arl_core.registry import resolve_env, resolve_run
from arl_core.runtime.plan import probe_spaces

PLUGINS = Path(__file__).parents[1] / "plugins"
ALONE_S = 5.0
SPEED_S = 60.0  # of training, after its start
STARTING_S = 10.0
POINTS = 12  # of a learning curve, for every doubling or so of frames


def alone(name: str, num_envs: int) -> float:
    """Steps a second of one group on one core; of several agents, each agent's."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    group = build_group(resolve_env(name), make_contexts(1, 0, num_envs))
    _, space, agents, _ = probe_spaces(resolve_env(name), defaults(name))
    rows = num_envs * max(len(agents), 1)
    obs = {key: np.zeros((rows, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    views = StepViews(obs, np.zeros(rows, np.float32), *np.zeros((3, rows), np.bool_))
    choose = chooser(space, rows)
    group.reset_into(obs)
    steps, stepping_s = 0, 0.0
    while stepping_s < ALONE_S:
        actions = choose(obs)
        began = time.perf_counter()
        group.send(actions)
        group.recv_into(views)
        stepping_s += time.perf_counter() - began
        steps += rows
    group.close()
    return steps / stepping_s


def chooser(space: spaces.Space[Any], num_envs: int) -> Callable[[Any], NDArray[Any]]:
    """Random action columns [E, A] for observations."""
    rng = np.random.default_rng(0)
    if isinstance(space, spaces.Discrete):
        return lambda obs: (rng.random((num_envs, space.n)) * (obs.get("action_mask", 1) + 1e-9)).argmax(1)[:, None]
    layout = ActionLayout(space)
    space.seed(0)
    columns = [np.concatenate([np.ravel(part) for part in leaves(space.sample())]) for _ in range(512)]
    table = np.array(columns, layout.dtype)
    return lambda _: table[rng.integers(0, len(table), num_envs)]


def leaves(sample: Any) -> list[Any]:
    """The parts of an action, in order."""
    if isinstance(sample, dict):
        return [leaf for part in sample.values() for leaf in leaves(part)]
    return [leaf for part in sample for leaf in leaves(part)] if isinstance(sample, tuple) else [sample]


def defaults(name: str) -> RunConfig:
    return resolve_run(Layer("keyword", {"env": name}), environ={})[0].config


def train(name: str, seed: int, frames: int | None, serial: bool, given: Mapping[str, str]) -> dict[str, Any]:
    curve: list[tuple[int, float]] = []

    def callback(values: Mapping[str, Any]) -> bool:
        if values["return_mean"] is not None and (not curve or values["frames"] > curve[-1][0] * (1 + 1 / POINTS)):
            curve.append((values["frames"], round(values["return_mean"], 2)))
        return True

    config = defaults(name)  # those of `arl run`; the class has fewer environments and more workers
    shape = {"num_envs_per_worker": config.num_envs_per_worker, "num_workers": config.num_workers}
    with APPO(name, policy_kwargs={**shape, "seed": seed, "serial": serial, **given}) as model:
        status = model.train(frames or config.train_for_env_steps, callback=callback)
        if status.return_mean is None:
            raise UserError(f"{name}: no episode ended within {status.frames:,} frames")
        result = {"seed": seed, "frames": status.frames, "return_mean": round(status.return_mean, 3), "curve": curve}
        result |= {"set": dict(given)} if given else {}
        return result if serial else {**result, "fps": round(status.fps)}


def training_speed(name: str) -> float:
    """Frames a second of a minute's training with the environment's defaults, its start left out."""
    marks: list[tuple[float, int]] = []

    def callback(values: Mapping[str, Any]) -> bool:
        if values["frames"] > 0:
            marks.append((time.monotonic(), values["frames"]))
        return not marks or marks[-1][0] - marks[0][0] < STARTING_S + SPEED_S

    config = defaults(name)
    shape = {"num_envs_per_worker": config.num_envs_per_worker, "num_workers": config.num_workers}
    with APPO(name, policy_kwargs={**shape, "train_for_env_steps": 10**9}) as model:
        model.train(10**9, callback=callback)
    began, frames = next(mark for mark in marks if mark[0] - marks[0][0] >= STARTING_S)
    ended, trained = marks[-1]
    return (trained - frames) / (ended - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True)
    parser.add_argument("--frames", type=int, help="default: what the environment's defaults say")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--speed", action="store_true", help="how fast, not how well, the environment's defaults train")
    parser.add_argument("--serial", action="store_true", help="train in one process, reproducibly: no speed in training")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    arguments = parser.parse_args()
    given = dict(text.split("=", 1) for text in arguments.set)
    resolved = resolve_env(arguments.env)
    path = PLUGINS / resolved.id.partition(":")[0] / "docs" / "speed.json"
    if not path.parents[1].is_dir():
        raise SystemExit(f"{arguments.env}: there is no folder {path.parents[1]}")
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entry = data.setdefault(resolved.id, {})
    if arguments.speed:
        entry["training_fps"] = round(training_speed(arguments.env))
    for seed in () if arguments.alone or arguments.speed else arguments.seeds:
        run = train(arguments.env, seed, arguments.frames, arguments.serial, given)
        entry["runs"] = sorted([run, *(r for r in entry.get("runs", []) if r["seed"] != seed)], key=lambda r: r["seed"])
        if speeds := [r["fps"] for r in entry["runs"] if "fps" in r]:
            entry["training_fps"] = round(statistics.median(speeds))
        record(path, data)  # after each, so that what was trained stays where a later one is stopped
    entry["num_envs"] = defaults(arguments.env).num_envs_per_worker
    entry["version"] = resolved.version
    entry["alone_fps"] = round(alone(arguments.env, entry["num_envs"]))  # last: it takes this process to one core
    record(path, data)
    print(json.dumps({resolved.id: entry}))


def record(path: Path, data: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(data, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
