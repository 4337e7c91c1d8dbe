"""Environments whose observations are stacks of frames, and an encoder that looks whether they are."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from torch import nn

from arl_core.envs.wrappers import FrameStack
from arl_core.interfaces import FrameStacking

FRAMES = 4


class Numbered(gym.Env):
    """A frame is 100 times the episode, counted from 1, plus the frame of the episode, counted from 1. Action 1 is worth 1."""

    observation_space = spaces.Box(1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(2)
    episode = 0

    def frame(self) -> Any:
        return np.array([100 * self.episode + self.number], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.number, self.length = self.episode + 1, 1, int(self.np_random.integers(1, 9))
        return self.frame(), {}

    def step(self, action: Any) -> Any:
        self.number += 1
        over = self.number > self.length
        return self.frame(), float(action == 1), over and self.length % 2 == 0, over and self.length % 2 == 1, {}


class WithZeros(gym.Wrapper):
    """Stacks on the last axis of [2, 4], zeros before an episode's first frame."""

    frame_stacks = {"obs": FrameStacking(FRAMES, 1, copies_first=False)}  # noqa: RUF012

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(1.0, 1.0, (2, FRAMES), np.float32)

    def reset(self, **keywords: Any) -> Any:
        frame, info = self.env.reset(**keywords)
        self.stack = np.zeros((2, FRAMES), np.float32)
        self.stack[:, -1] = frame
        return self.stack.copy(), info

    def step(self, action: Any) -> Any:
        frame, *rest = self.env.step(action)
        self.stack[:, :-1] = self.stack[:, 1:].copy()
        self.stack[:, -1] = frame
        return self.stack.copy(), *rest


class WithNan(WithZeros):
    """An episode begins with a frame before its first that is none."""

    def reset(self, **keywords: Any) -> Any:
        _, info = super().reset(**keywords)
        self.stack[0, 1] = np.nan
        return self.stack.copy(), info


class BeginningsInTheMiddle(WithZeros):
    """Says the wrong thing of what lies before an episode's first frame. Of 16 rows, row 8 alone follows another episode."""

    frame_stacks = {"obs": FrameStacking(FRAMES, 1, copies_first=True)}  # noqa: RUF012
    steps = 0

    def step(self, action: Any) -> Any:
        observation, reward, *_ = super().step(action)
        self.steps += 1
        over = self.steps == 7 or (self.steps > 7 and (self.steps - 7) % 15 == 0)
        return observation, reward, over, False, {}


class NanInTheMiddle(BeginningsInTheMiddle):
    """All of its first stack after another episode is none."""

    def reset(self, **keywords: Any) -> Any:
        observation, info = super().reset(**keywords)
        return observation * (np.nan if self.steps else 1), info


class Whole(gym.Wrapper):
    """Says nothing of its stacks."""


class Shuffled(gym.ObservationWrapper):
    """Says of stacks that they are, and turns them round."""

    frame_stacks = {"obs": FrameStacking(FRAMES, 0, copies_first=True)}  # noqa: RUF012

    def observation(self, observation: Any) -> Any:
        return observation[::-1]


def stored_once() -> gym.Env:
    return FrameStack(Numbered(), FRAMES)


def stored_whole() -> gym.Env:
    return Whole(stored_once())


def zeros_once() -> gym.Env:
    return WithZeros(Numbered())


def zeros_whole() -> gym.Env:
    return Whole(zeros_once())


def wrong_in_the_middle() -> gym.Env:
    return BeginningsInTheMiddle(Numbered())


def nan_in_the_middle() -> gym.Env:
    return NanInTheMiddle(Numbered())


def before_it_nan() -> gym.Env:
    return WithNan(Numbered())


def turned_round() -> gym.Env:
    return Shuffled(stored_once())


class Beside(gym.ObservationWrapper):
    """The stack as one of two observations."""

    def __init__(self) -> None:
        super().__init__(stored_once())
        self.frame_stacks = {"stack": FrameStacking(FRAMES, 0, copies_first=True)}
        self.observation_space = spaces.Dict(stack=self.env.observation_space, newest=Numbered.observation_space)

    def observation(self, observation: Any) -> Any:
        return {"stack": observation, "newest": observation[-1:]}


class InParts(gym.ObservationWrapper):
    """The frame as a number, as a row of two, and as a class."""

    observation_space = spaces.Dict(
        number=spaces.Box(0.0, 1.0, (), np.float32), row=spaces.Box(-1.0, 1.0, (2,), np.float64), kind=spaces.Discrete(10)
    )

    def observation(self, observation: Any) -> Any:
        number = observation[0]
        return {"number": number, "row": np.array([number, -number], np.float64), "kind": int(number) % 10}


class Reusing(gym.ObservationWrapper):
    """Returns the same array at every step."""

    array = np.zeros(1, np.float32)

    def observation(self, observation: Any) -> Any:
        self.array[:] = observation
        return self.array


def gymnasium_once() -> gym.Env:
    return FrameStackObservation(Numbered(), FRAMES)


def gymnasium_whole() -> gym.Env:
    return Whole(gymnasium_once())


def parts_once() -> gym.Env:
    return FrameStackObservation(InParts(Numbered()), FRAMES, padding_type="zero")


def parts_whole() -> gym.Env:
    return Whole(parts_once())


def reusing() -> gym.Env:
    return FrameStackObservation(Reusing(Numbered()), FRAMES)


class Looking(nn.Module):
    """Raises for a stack that is not of consecutive frames of one episode. Features are small functions of them."""

    def __init__(self, obs_space: Any, cfg: Any) -> None:
        super().__init__()
        self.output_size = 16
        self.layer = nn.Linear(FRAMES, self.output_size)

    def forward(self, obs: Any) -> Any:
        stack = obs.get("stack", obs.get("obs"))
        if stack.shape[1:] == (FRAMES, 1):  # of Gymnasium
            stack = stack[:, :, 0]
        has_zeros = stack.dim() == 3
        if has_zeros:
            assert torch.equal(stack[:, 0], stack[:, 1])
            stack = stack[:, 0]
        newest = stack[:, -1:]
        played = newest > 1  # not what the space was asked for
        ages = torch.arange(FRAMES - 1, -1, -1, device=stack.device)
        in_episode = newest % 100 - ages >= 1
        before = torch.zeros_like(newest) if has_zeros else newest - newest % 100 + 1
        expected = torch.where(in_episode, newest - ages, before)
        if not bool((stack.eq(expected) | ~played).all()):
            raise ValueError(f"no stacks: {stack[stack.ne(expected).any(1)]}")
        if "newest" in obs and not torch.equal(obs["newest"], newest):
            raise ValueError("the stack is not of the row beside it")
        return torch.tanh(self.layer(stack % 100 / 10))
