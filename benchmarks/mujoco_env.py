"""What a step of a robot costs: MuJoCo alone, gymnasium's environment, arl's group of them, EnvPool where it is installed.

    python benchmarks/mujoco_env.py [HalfCheetah-v5 ...] [--steps 1000] [--rounds 5]

The four take turns in one process; shown are medians of the rounds, in microseconds of processor time a step, random actions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from arl_plugin_mujoco.simulator import import_mujoco

ENVS = 8  # in a group, and in EnvPool's batch


def physics(name: str, steps: int) -> Callable[[], float]:
    import gymnasium
    import mujoco

    robot: Any = gymnasium.make(name).unwrapped
    robot.reset(seed=0)
    model, data, skip = robot.model, robot.data, robot.frame_skip
    actions = drawn(robot, steps)

    def measure() -> float:
        robot.reset()
        begin = time.process_time()
        for action in actions:
            data.ctrl[:] = action
            mujoco.mj_step(model, data, nstep=skip)
            mujoco.mj_rnePostConstraint(model, data)
        return time.process_time() - begin

    return measure


def single(name: str, steps: int) -> Callable[[], float]:
    import gymnasium

    env: Any = gymnasium.make(name, disable_env_checker=True)
    env.reset(seed=0)
    actions = drawn(env, steps)

    def measure() -> float:
        begin = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return time.process_time() - begin

    return measure


def group(name: str, steps: int) -> Callable[[], float]:
    from arl_core.envs.group import build_group, make_contexts
    from arl_core.interfaces import StepViews
    from arl_core.registry import resolve_env

    made = build_group(resolve_env(f"mujoco:{name}"), make_contexts(1, 0, ENVS))
    obs = {key: np.zeros((ENVS, *spec.shape), spec.dtype) for key, spec in made.obs_specs.items()}
    views = StepViews(obs, np.zeros(ENVS, np.float32), *np.zeros((3, ENVS), bool))
    made.reset_into(obs)
    actions = drawn(made.envs[0], steps).reshape(steps // ENVS, ENVS, -1)  # type: ignore[attr-defined]  # single environments

    def measure() -> float:
        begin = time.process_time()
        for action in actions:
            made.send(action)
            made.recv_into(views)
        return time.process_time() - begin

    return measure


def pool(name: str, steps: int) -> Callable[[], float] | None:
    try:
        import envpool
    except ImportError:
        return None
    made = envpool.make(name, env_type="gymnasium", num_envs=ENVS, num_threads=1, seed=1)
    made.reset()
    space = made.action_space
    actions = np.random.default_rng(0).uniform(space.low, space.high, (steps // ENVS, ENVS, *space.shape))

    def measure() -> float:
        begin = time.process_time()
        for action in actions:
            made.step(action)
        return time.process_time() - begin

    return measure


def drawn(env: Any, steps: int) -> Any:
    space = env.action_space
    return np.random.default_rng(0).uniform(space.low, space.high, (steps, *space.shape)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    import_mujoco()  # whose warnings otherwise go to a file in the working directory
    makers = {"MuJoCo alone": physics, "gymnasium": single, f"arl, group of {ENVS}": group, f"EnvPool, {ENVS}": pool}
    print("| microseconds of processor time a step | " + " | ".join(makers) + " |\n|" + "---|" * (len(makers) + 1))
    for name in arguments.names:
        measures = [make(name, arguments.steps) for make in makers.values()]
        rounds = [[measure() if measure else float("nan") for measure in measures] for _ in range(arguments.rounds)]
        medians = [statistics.median(column) / arguments.steps * 1e6 for column in zip(*rounds, strict=True)]
        print(f"| {name} | " + " | ".join(f"{value:.0f}" for value in medians) + " |", flush=True)


if __name__ == "__main__":
    main()
