"""Saving an environment's exact state as plain arrays (no pickle: a checkpoint executes nothing).

An environment of anybody's can be saved if it has `get_state() -> dict[str, array] | None` and `set_state(dict)`. Gymnasium's
classic-control environments are saved by their attributes, which are all numbers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ResolvedEnv

log = logging.getLogger("arl")

_MASK = (1 << 64) - 1
# class in gymnasium.envs.classic_control -> attributes that make up its state
_CLASSIC: dict[str, tuple[str, ...]] = {
    "CartPoleEnv": ("state", "steps_beyond_terminated"),
    "CartPoleVectorEnv": ("state", "steps", "prev_done", "low", "high"),
    "AcrobotEnv": ("state",),
    "MountainCarEnv": ("state",),
    "Continuous_MountainCarEnv": ("state",),
    "PendulumEnv": ("state", "last_u"),
}


def rng_to_array(rng: np.random.Generator) -> NDArray[np.uint64]:
    """The state of a PCG64 generator, [6] uint64."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    if state["bit_generator"] != "PCG64":
        raise ValueError(f"can save PCG64 generators, not {state['bit_generator']}")
    inner = state["state"]
    words = [inner["state"] & _MASK, inner["state"] >> 64, inner["inc"] & _MASK, inner["inc"] >> 64]
    return np.array([*words, state["has_uint32"], state["uinteger"]], np.uint64)


def rng_from_array(array: NDArray[np.uint64]) -> np.random.Generator:
    """The generator that `rng_to_array` saved."""
    w = [int(x) for x in array]
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": w[0] | (w[1] << 64), "inc": w[2] | (w[3] << 64)},
        "has_uint32": w[4],
        "uinteger": w[5],
    }
    return np.random.Generator(bits)


def _classic_attributes(env: Any) -> tuple[str, ...] | None:
    if type(env).__module__.startswith("gymnasium.envs.classic_control."):
        return _CLASSIC.get(type(env).__name__)
    return None


def identity(env: ResolvedEnv) -> str:
    """All that says what an environment's saved state means: only one with the same identity can take it."""
    return json.dumps(
        [env.id, dict(env.kwargs), dict(env.options), env.wrappers, env.max_episode_steps], sort_keys=True, default=repr
    )


def save_env_state(env: Any) -> dict[str, NDArray[Any]] | None:
    """All that `load_env_state` needs, or None if this environment cannot be saved."""
    if hasattr(env, "get_state") and hasattr(env, "set_state"):
        return _asked(env)
    attributes = _classic_attributes(env)
    if attributes is None:
        return None
    saved: dict[str, NDArray[Any]] = {"rng": rng_to_array(env.np_random)}
    for name in attributes:
        value = getattr(env, name, None)
        if value is not None:
            saved[name] = np.asarray(value)
    return saved


def _asked(env: Any) -> dict[str, NDArray[Any]] | None:
    """What `env.get_state` gives. Methods of that name exist that mean something else: nothing that they do ends a run."""
    try:
        state = env.get_state()
        if state is None:
            return None
        if not isinstance(state, Mapping):
            raise TypeError(f"it returns {type(state).__name__}, not a dict of arrays")
        arrays = {str(key): np.asarray(value) for key, value in state.items()}
        for key, value in arrays.items():
            if value.dtype.kind not in "biuf":
                raise TypeError(f"'{key}' is no array of numbers, but {type(state[key]).__name__}")
    except Exception as error:  # noqa: BLE001  # anybody's method; told below
        _warn_unsaved(type(env).__name__, f"{type(error).__name__}: {error}")
        return None
    return arrays


@cache
def _warn_unsaved(name: str, why: str) -> None:
    """Once: checkpoints are written every few minutes."""
    log.warning("%s: what get_state gives cannot be saved, so it begins anew where the run is resumed (%s)", name, why)


def save_env_states(envs: Sequence[Any]) -> dict[str, NDArray[Any]] | None:
    """Those of several, for `load_env_states`; None unless each can be saved."""
    state: dict[str, NDArray[Any]] = {}
    for i, env in enumerate(envs):
        saved = save_env_state(env)
        if saved is None:
            return None
        state |= {f"{i}.{key}": value for key, value in saved.items()}
    return state


def load_env_states(envs: Sequence[Any], state: Mapping[str, NDArray[Any]]) -> None:
    """Put them back to where `save_env_states` saw them; entries of others are ignored."""
    for i, env in enumerate(envs):
        prefix = f"{i}."
        load_env_state(env, {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def load_env_state(env: Any, state: Mapping[str, NDArray[Any]]) -> None:
    """Put an environment back to where `save_env_state` saw it."""
    attributes = _classic_attributes(env)
    if attributes is None:
        env.set_state(dict(state))  # it had get_state and set_state when it was saved
        return
    env.np_random = rng_from_array(state["rng"])
    for name in attributes:
        saved = state.get(name)
        value: Any = None
        if saved is not None:
            value = saved.copy() if saved.ndim else saved.item()
        setattr(env, name, value)
