"""Environments of the legacy gym package (any API of its history) as Gymnasium ones.

The only module that imports gym, and it is imported only for an environment that gym alone provides. gym 0.26 prints
a notice when it is imported, and its environment checker uses `np.bool8`, which NumPy 2 removed: the notice is
captured, and environments are built from their entry points, without `gym.make` and its checker.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import gymnasium
from gymnasium import spaces

from arl_core.envs.make import constructor_arguments
from arl_core.interfaces import EnvContext, UserError, load_object
from arl_core.spaces import element_type

with contextlib.redirect_stderr(io.StringIO()):
    import gym
    import gym.envs.registration
    import gym.utils.seeding


def legacy_registry() -> Mapping[str, Any]:
    """gym's own registry, id -> specification."""
    registry: Mapping[str, Any] = gym.envs.registration.registry
    return registry


def make(
    *,
    options: Any,
    context: EnvContext,
    target: str | tuple[Callable[..., Any], Mapping[str, Any]],
    arguments: Mapping[str, Any] | None = None,
) -> LegacyGymEnv:
    """The environment of an entry point: `"module:attr"` with its `arguments`, or both by value."""
    creator, given = (load_object(target), arguments or {}) if isinstance(target, str) else target
    return LegacyGymEnv(creator(**{**given, **constructor_arguments(options, context)}), context.render_mode)


class LegacyGymEnv(gymnasium.Env[Any, Any]):
    """A gym environment behind Gymnasium's interface.

    Takes steps of four values (`done`; a time limit is told by `info["TimeLimit.truncated"]`) or five, and resets that
    return an observation, or an observation and a dictionary, with `reset(seed=)`, `seed()`, or neither.
    """

    def __init__(self, env: Any, render_mode: str | None = None) -> None:
        self.legacy = _without_checker(env)
        self.render_mode = render_mode
        self.metadata = dict(getattr(env, "metadata", None) or {})
        self.observation_space = modern_space(env.observation_space)
        self.action_space = modern_space(env.action_space)
        self._reset_takes_seed = all(_accepts_seed(layer.reset) for layer in _layers(self.legacy))
        self._render_takes_mode = "mode" in inspect.signature(self.legacy.render).parameters

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Gymnasium's reset. Legacy environments know no reset options: given ones are an error."""
        if options:
            raise UserError(f"legacy gym environment {type(self.legacy.unwrapped).__name__} takes no reset options")
        if seed is None:
            result = self.legacy.reset()
        elif self._reset_takes_seed:
            result = self.legacy.reset(seed=seed)
        else:
            self._seed(seed)
            result = self.legacy.reset()
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
            return result
        return result, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Gymnasium's step. `done` is a truncation where `info` says that a time limit ended the episode."""
        try:
            result = self.legacy.step(action)
        except ValueError as error:
            if "values to unpack" in str(error) and self.legacy is not self.legacy.unwrapped:
                raise UserError(self._mixed(error)) from error
            raise
        if len(result) == 5:
            return result  # type: ignore[no-any-return]
        if len(result) != 4:
            name = type(self.legacy.unwrapped).__name__
            raise UserError(f"legacy gym environment {name}: step returned {len(result)} values, not 4 or 5")
        observation, reward, done, info = result
        truncated = bool(done) and bool(info.get("TimeLimit.truncated", False))
        return observation, reward, bool(done) and not truncated, truncated, info

    def _mixed(self, error: ValueError) -> str:
        wrappers = ", ".join(type(layer).__name__ for layer in _layers(self.legacy)[:-1])
        return (
            f"legacy gym environment {type(self.legacy.unwrapped).__name__} inside {wrappers}: {error}: steps of four values "
            "(before gym 0.26) and of five are mixed. Leave the wrappers out and name ours (--wrappers time-limit, ...), "
            "or have every step return five"
        )

    def render(self) -> Any:
        """What the environment renders in its render mode."""
        return self.legacy.render(mode=self.render_mode) if self._render_takes_mode else self.legacy.render()

    def close(self) -> None:
        """Close the environment."""
        self.legacy.close()

    def _seed(self, seed: int) -> None:
        inner = self.legacy.unwrapped
        if hasattr(inner, "seed"):
            inner.seed(seed)
        else:
            inner.np_random = gym.utils.seeding.np_random(seed)[0]


def modern_space(space: Any) -> spaces.Space[Any]:
    """A gym space as the Gymnasium space of the same values. Raises UserError for a kind without counterpart."""
    if isinstance(space, spaces.Space):
        return space
    if isinstance(space, gym.spaces.Box):
        return spaces.Box(space.low, space.high, space.shape, element_type(space))
    if isinstance(space, gym.spaces.Discrete):
        return spaces.Discrete(int(space.n), start=int(space.start))
    if isinstance(space, gym.spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec, dtype=element_type(space))
    if isinstance(space, gym.spaces.MultiBinary):
        return spaces.MultiBinary(space.n)
    if isinstance(space, gym.spaces.Tuple):
        return spaces.Tuple([modern_space(part) for part in space.spaces])
    if isinstance(space, gym.spaces.Dict):
        return spaces.Dict({key: modern_space(part) for key, part in space.spaces.items()})
    raise UserError(f"legacy gym space {type(space).__name__} is not supported: use Box, Discrete, MultiDiscrete, ...")


def _layers(env: Any) -> list[Any]:
    """A wrapped environment's layers, outermost first."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _without_checker(env: Any) -> Any:
    """Take gym's checker out of a chain of wrappers (the user's own `gym.make` put it there)."""
    layers = [layer for layer in _layers(env) if type(layer).__name__ != "PassiveEnvChecker"]
    for outer, inner in pairwise(layers):
        outer.env = inner
    return layers[0]


def _accepts_seed(reset: Callable[..., Any]) -> bool:
    parameters = inspect.signature(reset).parameters.values()
    return any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters)
