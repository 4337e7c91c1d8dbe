"""Playing a single environment with random actions, as the engine does: reset without a seed after each ending."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from arl_core.spaces import ACTION_MASK, leaves_of, value_at


class Moment(NamedTuple):
    """One observation and what came with it, in a form that compares and goes to JSON."""

    obs: str  # digest of the observation's bytes
    reward: float
    terminated: bool
    truncated: bool


def play(env: gymnasium.Env[Any, Any], seed: int, steps: int, action_seed: int = 0) -> list[Moment]:
    """Reset with `seed`, then take `steps` steps with actions from `action_seed`: [steps + 1], resets included."""
    env.action_space.seed(action_seed)
    observation, _ = env.reset(seed=seed)
    moments = [Moment(digest(env.observation_space, observation), 0.0, False, False)]
    while len(moments) <= steps:
        if moments[-1].terminated or moments[-1].truncated:
            observation, _ = env.reset()
            moments.append(Moment(digest(env.observation_space, observation), 0.0, False, False))
            continue
        action = sampled_action(env.action_space, observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        seen = digest(env.observation_space, observation)
        moments.append(Moment(seen, float(reward), bool(terminated), bool(truncated)))
    return moments


def sampled_action(space: spaces.Space[Any], observation: Any) -> Any:
    """A random action from the space's own generator; one that the observation's "action_mask" allows."""
    if isinstance(space, spaces.Dict) and space.keys() == getattr(observation, "keys", dict)():  # one a part: agents
        return {key: sampled_action(part, observation[key]) for key, part in space.items()}
    masked = isinstance(space, spaces.Discrete) and isinstance(observation, dict) and ACTION_MASK in observation
    if masked:
        return space.sample(mask=np.asarray(observation[ACTION_MASK], np.int8))
    return space.sample()


class _ObeysMask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Plays the first allowed action in place of one that the mask forbids."""

    def __init__(self, env: gymnasium.Env[Any, Any], space: spaces.Discrete) -> None:
        super().__init__(env)
        self._first = space.start

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._mask = observation[ACTION_MASK]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        allowed = np.flatnonzero(self._mask) + self._first
        observation, *others = self.env.step(action if not len(allowed) or action in allowed else allowed[0])
        self._mask = observation[ACTION_MASK]
        return observation, *others


def obeying_mask(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """`env` for gymnasium's checks, which know no masks: a run never plays what the "action_mask" forbids."""
    space, seen = env.action_space, env.observation_space
    masked = isinstance(seen, spaces.Dict) and ACTION_MASK in seen.spaces
    return _ObeysMask(env, space) if masked and isinstance(space, spaces.Discrete) else env


def digest(space: spaces.Space[Any], observation: Any) -> str:
    """A short digest of an observation's values, key by key."""
    found = hashlib.blake2b(digest_size=8)
    for path, leaf in leaves_of(space).values():
        found.update(np.ascontiguousarray(np.asarray(value_at(path, observation), leaf.dtype)).tobytes())
    return found.hexdigest()


def first_difference(one: list[Moment], other: list[Moment]) -> str:
    """Where two plays part, in words; empty where they are the same."""
    for step, (left, right) in enumerate(zip(one, other, strict=True)):
        for name, a, b in zip(Moment._fields, left, right, strict=True):
            if a != b:
                values = "" if name == "obs" else f": {a!r} and {b!r}"
                return f"'{name}' differs at step {step}{values}"
    return ""
