"""Single environments stepped together: the tightest loop that Python allows, straight into shared memory."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections.abc import Mapping, Sequence
from importlib import import_module
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from numpy.typing import NDArray

from arl_core.envs.make import build_env
from arl_core.envs.spaces import ActionLayout, check_shape, obs_checker, obs_specs, obs_writer
from arl_core.envs.state import load_env_state, save_env_state
from arl_core.interfaces import ArraySpec, EnvContext, EnvGroup, EpisodeEnds, ResolvedEnv, StepViews, UserError, load_object

_NO_LIMIT = np.iinfo(np.int64).max


class EnvironmentFault(RuntimeError):
    """An environment raised or broke its contract. Says which one, where, and with which seed."""


def make_contexts(run_seed: int, first_index: int, count: int, worker: int = 0, life: int = 0) -> list[EnvContext]:
    """Contexts of environments `first_index` onwards. A stream depends on (`run_seed`, index), not on the number of workers;
    and on how often its worker was restarted (`life`), so that a new one does not repeat what was sampled already."""
    contexts = []
    for index in range(first_index, first_index + count):
        key = (index, life) if life else (index,)
        seed = int(np.random.SeedSequence(run_seed, spawn_key=key).generate_state(1)[0] >> 1)
        contexts.append(EnvContext(run_seed=run_seed, index=index, seed=seed, worker=worker))
    return contexts


def build_group(resolved: ResolvedEnv, contexts: Sequence[EnvContext]) -> EnvGroup:
    """The group that this environment was resolved to: its own vectorised one, or single environments in a loop.

    Raises EnvironmentFault for what the environments' code raises, except UserError.
    """
    if resolved.vector_maker is None:
        return SingleEnvGroup(_build_envs(resolved, contexts), contexts)
    try:
        for module in resolved.imports:
            import_module(module)
        options = None
        if resolved.options_model is not None:
            options = load_object(resolved.options_model).model_validate(dict(resolved.options))
        group: EnvGroup = load_object(resolved.vector_maker)(options=options, contexts=contexts, **resolved.kwargs)
    except (UserError, EnvironmentFault):
        raise
    except (Exception, SystemExit) as error:
        raise EnvironmentFault(_failed(contexts[0], "construction", error)) from error
    return group


def _build_envs(resolved: ResolvedEnv, contexts: Sequence[EnvContext]) -> list[gym.Env[Any, Any]]:
    envs: list[gym.Env[Any, Any]] = []
    context = contexts[0]
    try:
        for context in contexts:
            envs.append(build_env(resolved, context))  # not a comprehension: those that were built are closed below
    except BaseException as error:
        for env in envs:
            with contextlib.suppress(Exception):  # the first error is the one to report
                env.close()
        if isinstance(error, UserError) or not isinstance(error, Exception | SystemExit):
            raise
        raise EnvironmentFault(_failed(context, "construction", error)) from error
    return envs


def _failed(context: EnvContext, where: str, error: BaseException) -> str:
    return (
        f"environment {context.index} (worker {context.worker}, seed {context.seed}) failed in {where}: "
        f"{type(error).__name__}: {error}"
    )


def _peel(env: gym.Env[Any, Any]) -> tuple[gym.Env[Any, Any], int]:
    """Take off outer wrappers whose work the group does for all its environments at once; returns the time limit."""
    limit = _NO_LIMIT
    while isinstance(env, TimeLimit | OrderEnforcing | PassiveEnvChecker):
        if isinstance(env, TimeLimit):
            limit = min(limit, int(env._max_episode_steps))
        env = env.env
    return env, limit


class SingleEnvGroup:
    """Steps a list of `gymnasium.Env` one after the other (an `EnvGroup`)."""

    def __init__(self, envs: Sequence[gym.Env[Any, Any]], contexts: Sequence[EnvContext]) -> None:
        peeled = [_peel(env) for env in envs]
        self.envs = [env for env, _ in peeled]
        self.num_envs = len(envs)
        self._contexts = list(contexts)
        self._space = self.envs[0].observation_space
        self._check_spaces()
        self.obs_specs: Mapping[str, ArraySpec] = obs_specs(self._space)
        self._layout = ActionLayout(self.envs[0].action_space)
        self._write = obs_writer(self._space)
        self._check = obs_checker(self._space)
        self._size = math.prod(self._space.shape or ())  # elements of a plain observation
        self._steps = [env.step for env in self.envs]
        self._limits = np.array([limit for _, limit in peeled], np.int64)
        self._limited = bool((self._limits != _NO_LIMIT).any())
        self._elapsed = np.zeros(self.num_envs, np.int64)
        self._ended = [False] * self.num_envs
        self._any_ended = False
        self._actions: Sequence[Any] = ()

    def _check_spaces(self) -> None:
        specs, actions = obs_specs(self._space), self.envs[0].action_space
        for context, env in zip(self._contexts, self.envs, strict=True):
            if obs_specs(env.observation_space) != specs or env.action_space != actions:
                what = f"it has {env.observation_space} and {env.action_space}, the first has {self._space} and {actions}"
                raise EnvironmentFault(_failed(context, "construction", ValueError(what)))

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        rows = dict(obs)
        self._elapsed[:] = 0
        for i, context in enumerate(self._contexts):
            self._reset(i, rows, context.seed)
        self._ended = [False] * self.num_envs
        self._any_ended = False

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the environments step in `recv_into`."""
        self._actions = self._layout.to_env(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`. Raises EnvironmentFault."""
        rewards: list[Any] = []
        terminations: list[Any] = []
        truncations: list[Any] = []
        infos: dict[int, Mapping[str, Any]] = {}
        rows, write, size, ended = dict(views.obs), self._write, self._size, self._ended
        plain = rows["obs"] if write is None else None
        i = 0
        try:
            for i, (step, action) in enumerate(zip(self._steps, self._actions, strict=True)):
                if ended[i]:
                    self._reset(i, rows, None)
                    rewards.append(0.0)
                    terminations.append(False)
                    truncations.append(False)
                    continue
                observation, reward, terminated, truncated, info = step(action)
                if plain is not None:
                    if getattr(observation, "size", 1) != size:  # NumPy would stretch it; cheaper to compare than the shape
                        check_shape("obs", observation, self._space.shape)
                    plain[i] = observation
                else:
                    write(observation, rows, i)  # type: ignore[misc]  # one of the two is always there
                rewards.append(reward)
                terminations.append(terminated)
                truncations.append(truncated)
                if info:
                    infos[i] = info
        except EnvironmentFault:
            raise
        except (Exception, SystemExit) as error:
            raise self._fault(i, "step", error) from error
        self._store(views, rewards, terminations, truncations)
        return self._finish(views, infos)

    def _store(self, views: StepViews, rewards: list[Any], terminations: list[Any], truncations: list[Any]) -> None:
        try:
            views.rewards[:] = array("f", rewards)  # unlike NumPy, it does not take None for NaN
            views.terminated[:] = terminations
            views.truncated[:] = truncations
        except (TypeError, ValueError) as error:
            for i, (reward, *flags) in enumerate(zip(rewards, terminations, truncations, strict=True)):
                if not isinstance(reward, Real) or any(np.ndim(flag) for flag in flags):
                    what = f"reward {reward!r}, terminated {flags[0]!r}, truncated {flags[1]!r}: a number and two truth values"
                    raise self._fault(i, "step", TypeError(f"{what} are wanted")) from None
            raise self._fault(0, "step", error) from error

    def _finish(self, views: StepViews, infos: Mapping[int, Mapping[str, Any]]) -> EpisodeEnds | None:
        self._elapsed += 1
        if self._any_ended:
            self._elapsed[self._ended] = 0
            np.logical_not(self._ended, out=views.valid)
        else:
            views.valid[:] = True
        if self._limited:
            over = self._elapsed >= self._limits
            if over.any():
                np.logical_or(views.truncated, over & views.valid, out=views.truncated)
        done = views.terminated | views.truncated
        self._ended = done.tolist()
        self._any_ended = True in self._ended
        if not (self._any_ended and infos):
            return None
        return _metrics_of_ends(np.flatnonzero(done), infos)

    def _reset(self, i: int, rows: dict[str, NDArray[Any]], seed: int | None) -> None:
        try:
            observation, _ = self.envs[i].reset(seed=seed)
            self._check(observation)
            if self._write is None:
                rows["obs"][i] = observation
            else:
                self._write(observation, rows, i)
        except (Exception, SystemExit) as error:
            raise self._fault(i, "reset", error) from error

    def _fault(self, i: int, where: str, error: BaseException) -> EnvironmentFault:
        return EnvironmentFault(_failed(self._contexts[i], f"{where}, {self._elapsed[i]} steps into its episode", error))

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """See `EnvGroup`; None unless every environment can be saved."""
        state: dict[str, NDArray[Any]] = {"elapsed": self._elapsed.copy(), "ended": np.array(self._ended)}
        for i, env in enumerate(self.envs):
            saved = save_env_state(env)
            if saved is None:
                return None
            state |= {f"{i}.{key}": value for key, value in saved.items()}
        return state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        if "ended" not in state:
            raise ValueError("the state is not one of single environments")
        if len(state["ended"]) != self.num_envs:
            raise ValueError(f"the state is of {len(state['ended'])} environments, this group has {self.num_envs}")
        self._elapsed[:] = state["elapsed"]
        self._ended = [bool(value) for value in state["ended"]]
        self._any_ended = True in self._ended
        for i, env in enumerate(self.envs):
            prefix = f"{i}."
            load_env_state(env, {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})

    def close(self) -> None:
        """Close every environment, whatever the others do. Idempotent. Raises EnvironmentFault for the first that failed."""
        envs, self.envs, self._steps = self.envs, [], []
        faults = []
        for context, env in zip(self._contexts, envs, strict=False):  # strict: closed before
            try:
                env.close()
            except (Exception, SystemExit) as error:  # noqa: BLE001, PERF203  # the others are closed too
                faults.append(EnvironmentFault(_failed(context, "close", error)))
        if faults:
            raise faults[0]


def _metrics_of_ends(rows: NDArray[np.int64], infos: Mapping[int, Mapping[str, Any]]) -> EpisodeEnds | None:
    """Numbers in the `info` of the rows that ended; gymnasium's `episode` dict becomes `episode.r`, `episode.l`."""
    found: dict[str, NDArray[np.float64]] = {}
    for position, row in enumerate(rows):
        for key, value in _numbers(infos.get(int(row), {})):
            if key not in found:
                found[key] = np.full(len(rows), np.nan)
            found[key][position] = value
    return EpisodeEnds(rows, found) if found else None


def _numbers(info: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    numbers: list[tuple[str, float]] = []
    for key, value in info.items():
        if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
            numbers.append((f"{prefix}{key}", float(value)))
        elif isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "biuf":
            numbers.append((f"{prefix}{key}", float(value.reshape(()))))
        elif isinstance(value, Mapping) and not prefix:
            numbers += _numbers(value, f"{key}.")
    return numbers
