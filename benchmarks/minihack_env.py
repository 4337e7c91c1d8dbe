"""Steps a second of one MiniHack environment, for each observation and a random policy: `python benchmarks/minihack_env.py`."""

from __future__ import annotations

import time
import warnings
from typing import Any

import gymnasium
import numpy as np

import arl_core

VARIANT = "Room-15x15"
SECONDS = 4.0


def measure(env: Any, name: str) -> None:
    """Print steps/s with resets and without, and what a reset costs."""
    env.reset()
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 1 << 16).tolist()
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
    stepping_us = (total_s - resetting_s) / steps * 1e6
    reset_ms = resetting_s / resets * 1e3
    print(f"{name:30} {steps / total_s:8,.0f} steps/s   {stepping_us:7.1f} us a step   {reset_ms:5.2f} ms a reset")


def main() -> None:
    """Ours with each observation, then minihack's own."""
    for observation in ("crop", "glyphs", "pixel_crop", "pixel"):
        env = arl_core.make_env(f"minihack:{VARIANT}", observation=observation)
        measure(env, f"arl, {observation}")
        env.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keys in (("glyphs_crop", "blstats"), ("glyphs", "glyphs_crop", "blstats"), ("pixel_crop",), ("pixel",)):
            env = gymnasium.make(f"MiniHack-{VARIANT}-v0", observation_keys=keys, disable_env_checker=True)
            measure(env.unwrapped, f"minihack, {', '.join(keys)}"[:30])
            env.close()


if __name__ == "__main__":
    main()
