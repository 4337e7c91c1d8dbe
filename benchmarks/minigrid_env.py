"""Steps a second of one MiniGrid environment, ours and minigrid's own in turn: `python benchmarks/minigrid_env.py`."""

from __future__ import annotations

import time
import warnings
from typing import Any

import gymnasium
import numpy as np
from minigrid.wrappers import FullyObsWrapper, RGBImgPartialObsWrapper

import arl_core

VARIANTS = ("DoorKey-5x5", "MemoryS7", "DoorKey-16x16")
OBSERVATIONS = {"view": lambda env: env, "full": FullyObsWrapper, "pixels": RGBImgPartialObsWrapper}
SECONDS = 1.0


def measure(env: Any) -> tuple[float, float, float]:
    """Steps/s with resets, microseconds of a step without them, milliseconds of a reset."""
    env.reset(seed=1)
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 1 << 15).tolist()
    steps = resets = 0
    resetting_s = 0.0
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        _, _, terminated, truncated, _ = env.step(actions[steps % len(actions)])
        steps += 1
        if terminated or truncated:
            before = time.perf_counter()
            env.reset()
            resetting_s += time.perf_counter() - before
            resets += 1
    total_s = time.perf_counter() - began
    return steps / total_s, (total_s - resetting_s) / steps * 1e6, resetting_s / max(resets, 1) * 1e3


def main() -> None:
    """Two rounds, A B A B; the faster one is shown."""
    warnings.simplefilter("ignore")
    for variant in VARIANTS:
        for observation, wrapper in OBSERVATIONS.items():
            ours = arl_core.make_env(f"minigrid:{variant}", observation=observation)
            theirs = wrapper(gymnasium.make(f"MiniGrid-{variant}-v0", disable_env_checker=True).unwrapped)  # type: ignore[no-untyped-call]
            rounds = [(measure(ours), measure(theirs)) for _ in range(2)]
            for name, figures in zip(("arl", "minigrid"), map(max, zip(*rounds, strict=True)), strict=True):
                rate, step_us, reset_ms = figures
                what = f"{variant:14} {observation:7} {name:9}"
                print(f"{what} {rate:8,.0f} steps/s {step_us:7.1f} us a step {reset_ms:5.2f} ms a reset")


if __name__ == "__main__":
    main()
