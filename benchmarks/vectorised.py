"""Back ends of the same environment in turn (A B A B): processor time of a step of one group alone, of a frame in training.

    python benchmarks/vectorised.py cartpole|atari [--training] [--rounds 3] [--seconds 4]

Alone: one group of 32, one thread, random actions. In training: serial mode, all in one process, 64 environments, one pass
over each batch. Processor time, that of the back end's threads included, says the same on a machine that is shared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

ROWS = 32
WARM_UP_S = 3.0
CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "cartpole": [("envpool:CartPole-v1", {}), ("gym:CartPole-v1", {})],
    "atari": [
        ("atari:pong", {"backend": "ale-vector"}),
        ("atari:pong", {"backend": "envpool"}),
        ("atari:pong", {"backend": "gymnasium"}),
    ],
}


def alone(env: str, options: Mapping[str, Any], seconds: float) -> float:
    """Microseconds of processor time for a valid step of one group."""
    from arl_core.envs.group import build_group, make_contexts
    from arl_core.interfaces import StepViews
    from arl_core.registry import make_env, resolve_env

    single = make_env(env)
    choices = single.action_space.n  # type: ignore[attr-defined]
    single.close()
    group = build_group(resolve_env(env, options), make_contexts(0, 0, ROWS))
    obs = {key: np.zeros((ROWS, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    views = StepViews(obs, np.zeros(ROWS, np.float32), *(np.zeros(ROWS, np.bool_) for _ in range(3)))
    group.reset_into(obs)
    actions = np.random.default_rng(0).integers(0, choices, (512, ROWS, 1))
    steps = valid = 0
    began = time.process_time()
    while time.process_time() - began < seconds:
        group.send(actions[steps % len(actions)])
        group.recv_into(views)
        steps += 1
        valid += int(np.count_nonzero(views.valid))
    spent_s = time.process_time() - began
    group.close()
    return spent_s / valid * 1e6


def training(env: str, options: Mapping[str, Any], seconds: float) -> float:
    """Microseconds of processor time for a trained frame, start and warm-up excluded."""
    from arl_core import APPO

    began = time.process_time()
    marks: list[tuple[float, int]] = []

    def callback(values: Mapping[str, Any]) -> bool:
        spent_s = time.process_time() - began
        if spent_s > WARM_UP_S:
            marks.append((spent_s, int(values["frames"])))
        return spent_s < WARM_UP_S + seconds or marks[-1][1] == marks[0][1]  # at least one more iteration

    settings = {"env_options": dict(options), "ppo_epochs": 1, "num_batches_per_iteration": 1, "serial": True}
    settings |= {"train_dir": "train_dir/bench"}
    with APPO(env=env, num_workers=2, num_envs_per_worker=ROWS, device="cpu", policy_kwargs=settings) as model:
        model.train(10**9, callback=callback)
    (first_s, before), (last_s, after) = marks[0], marks[-1]
    return (last_s - first_s) / (after - before) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    measure = training if arguments.training else alone
    cases = CASES[arguments.case]
    spent: list[list[float]] = [[] for _ in cases]
    for _ in range(arguments.rounds):
        for found, (env, options) in zip(spent, cases, strict=True):
            found.append(measure(env, options, arguments.seconds))
    for found, (env, options) in zip(spent, cases, strict=True):
        ratios = [last / one for one, last in zip(found, spent[-1], strict=True)]
        name = " ".join([env, *options.values()])
        each = "; ".join(f"{us:,.1f}" for us in found)
        print(f"{name:30} {each} us; faster than the last: {', '.join(f'{r:.2f}' for r in ratios)}", end="")
        print(f", median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
