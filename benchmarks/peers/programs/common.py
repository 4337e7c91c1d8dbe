"""What every program of this folder shares: the arguments, the cheap environment, and how frames per second are taken.

Imported in each peer's own virtual environment: it needs gymnasium and NumPy, nothing else, in any version. Only Pong needs
what pong.py names.
"""

from __future__ import annotations

import argparse
import json
import time

import gymnasium as gym
import numpy as np

CHEAP = "Cheap-v0"
PONG = "Pong"
EPISODE_STEPS = 200
STRETCH = 5.0  # how much longer a slow one may take to train on three batches


class CheapEnv(gym.Env):
    """Eight floats, four actions, next to no work: what is left of a frame's time is the framework's."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (8,), np.float32)
    action_space = gym.spaces.Discrete(4)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._rows = list(np.random.default_rng(0).uniform(-1.0, 1.0, (EPISODE_STEPS + 1, 8)).astype(np.float32))
        self._t = 0

    def reset(self, *, seed=None, options=None):
        self._t = 0
        return self._rows[0], {}

    def step(self, action):
        self._t += 1
        return self._rows[self._t], 1.0 if action == 0 else 0.0, self._t == EPISODE_STEPS, False, {}


def make_env(name: str, stack: int = 4) -> gym.Env:
    """`stack`: frames in an observation of Pong."""
    if name == PONG:
        from pong import Pong

        return Pong(stack)
    return CheapEnv() if name == CHEAP else gym.make(name)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--envs", type=int, required=True, help="environments, of all workers together")
    parser.add_argument("--rollout", type=int, required=True)
    parser.add_argument("--minibatches", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="torch's, where all is one process")
    parser.add_argument("--mode", default="", help="one of the peer's own ways to run")
    return parser.parse_args()


class Meter:
    """Frames trained on, over time. `add` says whether to go on."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._warm_up, self._seconds = arguments.warm_up, arguments.seconds
        self._begin: float | None = None
        self._frames = 0
        self._marks: list[tuple[float, int]] = []

    def add(self, frames: int) -> bool:
        """`frames` in total were trained on by now. Only a call with more than the one before says when an iteration ended."""
        now = time.perf_counter()
        if self._begin is None:
            self._begin = now  # the first iteration is over: processes stand, everything was touched
        if frames > self._frames and now - self._begin >= self._warm_up:
            self._marks.append((now, frames))
        self._frames = frames
        end = self._begin + self._warm_up + self._seconds
        return now < end or (len(self._marks) < 3 and now < end + STRETCH * self._seconds)

    def report(self) -> None:
        if len(self._marks) < 2:
            raise SystemExit("trained on no two batches in the time given")
        (t0, f0), (t1, f1) = self._marks[0], self._marks[-1]
        print(json.dumps({"fps": (f1 - f0) / (t1 - t0), "seconds": t1 - t0, "frames": f1 - f0}))
