"""Pong by the protocol of the literature, for peers that step gymnasium's environments in Python.

Gymnasium's AtariPreprocessing: frame skip 4, the last two pooled, grey, 84 x 84, up to 30 raw frames without action at the
beginning. Here: fire at the beginning, the reward's sign, the last frames in one array. Needs ale-py and OpenCV.
"""

from __future__ import annotations

import cv2
import gymnasium as gym
import numpy as np
from ale_py.env import AtariEnv
from gymnasium.wrappers import AtariPreprocessing

SIZE = 84
MAX_FRAMES = 108_000  # raw; half an hour


class Game(AtariEnv):
    """Without observations of its own: the preprocessing reads the screens itself, and four unread ones a step take time."""

    def _get_obs(self) -> None:
        return None


class Pong(gym.Wrapper):
    """Observations are uint8 [stack, 84, 84], the newest frame last.

    The game is made without gymnasium's registry: ale-py's entries need gymnasium 1.0, and `gym.make` adds checks to each
    raw frame.
    """

    def __init__(self, stack: int) -> None:
        cv2.setNumThreads(1)  # each image is small, and the cores have other work
        game = Game(
            "pong", obs_type="grayscale", frameskip=1, repeat_action_probability=0.0, max_num_frames_per_episode=MAX_FRAMES
        )
        super().__init__(AtariPreprocessing(game, noop_max=30))
        self.observation_space = gym.spaces.Box(0, 255, (stack, SIZE, SIZE), np.uint8)
        self._fire = game.get_action_meanings().index("FIRE")
        self._stack = np.zeros((stack, SIZE, SIZE), np.uint8)

    def reset(self, *, seed=None, options=None):
        self.env.reset(seed=seed, options=options)
        frame, _, _, _, info = self.env.step(self._fire)
        self._stack[:] = frame
        return self._stack.copy(), info

    def step(self, action):
        frame, reward, terminated, truncated, info = self.env.step(action)
        self._stack[:-1] = self._stack[1:]
        self._stack[-1] = frame
        return self._stack.copy(), float(np.sign(reward)), terminated, truncated, info
