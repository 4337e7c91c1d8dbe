"""Build an environment from its resolved description, by imports alone: no plugin discovery, no pluggy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from numbers import Integral
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import (
    ClipAction,
    ClipReward,
    FrameStackObservation,
    NormalizeReward,
    OrderEnforcing,
    PassiveEnvChecker,
    RecordEpisodeStatistics,
    RescaleAction,
    TimeLimit,
    TransformAction,
    TransformReward,
)

from arl_core.envs.faults import close_quietly
from arl_core.envs.multi_agent import ParallelEnv, is_parallel
from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import JSON, EnvContext, FrameStacking, ResolvedEnv, UserError, load_object
from arl_core.spaces import ACTION_MASK, key_of, value_at, walk

# Gymnasium's own that show what they stand around, step for step; subclasses may do anything, but for those of time
_OF_TIME = (TimeLimit, OrderEnforcing, PassiveEnvChecker)
_OF_REWARDS_AND_ACTIONS = (ClipReward, NormalizeReward, TransformReward, ClipAction, RescaleAction, TransformAction)
_SHOWING_ALL = (RecordEpisodeStatistics, *_OF_REWARDS_AND_ACTIONS)


def build_env(resolved: ResolvedEnv, context: EnvContext) -> gymnasium.Env[Any, Any]:
    """The environment with its wrappers, innermost first, and its time limit outermost. Raises what its code raises, and
    UserError for an environment of several agents."""
    env = build_any(resolved, context)
    if isinstance(env, gymnasium.Env):
        return env
    close_quietly(env)
    raise UserError(f"environment '{resolved.id}' has several agents, where a gymnasium.Env is wanted")


def build_any(resolved: ResolvedEnv, context: EnvContext) -> gymnasium.Env[Any, Any] | ParallelEnv:
    """As `build_env`, or an environment of several agents, which has no wrappers (and whose group applies the time limit)."""
    env = _made(resolved, context)
    if not isinstance(env, gymnasium.Env):
        if resolved.wrappers:
            close_quietly(env)
            raise UserError(f"environment '{resolved.id}' has several agents: wrappers of gymnasium environments do not fit it")
        return env
    env = _wrapped(resolved, env, [])
    if resolved.max_episode_steps is not None:
        env = TimeLimit(env, resolved.max_episode_steps)
    return env


def frame_stacks_of(env: Any) -> dict[str, FrameStacking]:
    """What an environment says of its stacks of more than one frame (`FrameStacking`), by key, or Gymnasium's wrapper means;
    nothing where a wrapper stands around it that might show other observations. Raises UserError for what cannot be."""
    while not hasattr(env, "frame_stacks") and (isinstance(env, _OF_TIME) or type(env) in _SHOWING_ALL):
        env = env.env
    said = getattr(env, "frame_stacks", _stacks_of_gymnasium(env))
    why = _why_not(said, env)
    if why:
        raise UserError(
            f"frame_stacks of {type(env).__name__} {why}. It gives, by key of observation, FrameStacking(frames, axis, "
            "copies_first), with an axis counted from 0 that frames divide. Without it stacks are stored whole (a "
            "gymnasium.Wrapper around an environment hides it)"
        )
    return {key: stacking for key, stacking in said.items() if stacking.frames > 1}


def _stacks_of_gymnasium(env: Any) -> dict[str, FrameStacking]:
    """What Gymnasium's own `FrameStackObservation` shows of arrays: frames on a new first axis; before an episode's first one
    its copies, or `padding_value`, which is zeros where the bounds have room for them. Nothing of any other environment."""
    if type(env) is not FrameStackObservation:
        return {}
    copies, shown, found = env.padding_type == "reset", obs_specs(env.observation_space), {}
    for path, frame in walk(env.env.observation_space):
        key, size = key_of(path), int(env.stack_size)
        is_stacked = isinstance(frame, spaces.Box) and key in shown and shown[key].shape == (size, *frame.shape)
        if is_stacked and key != ACTION_MASK and (copies or not np.any(value_at(path, env.padding_value))):
            found[key] = FrameStacking(size, 0, copies)
    return found


def _why_not(said: Any, env: Any) -> str:
    """What is wrong with a description of `env`'s stacks; "" where nothing is."""
    if not isinstance(said, Mapping):
        return f"is {said!r}"
    specs = obs_specs(env.observation_space) if said else {}
    for key, stacking in said.items():
        if key not in specs:
            return f"has {key!r}, which is none of {', '.join(specs)}"
        kinds = Integral, Integral, bool
        if not isinstance(stacking, FrameStacking) or not all(map(isinstance, stacking, kinds)):
            return f"has {stacking!r} for observation '{key}'"
        shape = specs[key].shape
        if not 0 <= stacking.axis < len(shape) or stacking.frames < 1 or shape[stacking.axis] % stacking.frames:
            return f"has {stacking} for observation '{key}', which is {list(shape)}"
    return ""


def inner_spaces(resolved: ResolvedEnv, context: EnvContext) -> list[gymnasium.Space[Any]]:
    """The observation space inside each wrapper, of an environment that is built for this and closed again."""
    found: list[gymnasium.Space[Any]] = []
    env = _made(resolved, context)
    assert isinstance(env, gymnasium.Env), "only gymnasium environments have wrappers"
    _wrapped(resolved, env, found).close()
    return found


@contextmanager
def what_to_install(resolved: ResolvedEnv) -> Iterator[None]:
    """Within: where a plugin's package is missing, damaged or of another version, UserError says what brings it."""
    try:
        yield
    except ImportError as error:
        if resolved.dist in ("", "arl-core"):  # the user's own code, or an id of the user's own packages
            raise
        raise UserError(
            f"environment '{resolved.id}' cannot be built: {type(error).__name__}: {error}. "
            f"pip install {resolved.dist} brings the packages that it needs; a missing .so is the system's to install"
        ) from error


def maker_arguments(resolved: ResolvedEnv) -> dict[str, Any]:
    """Import what registers the environment; returns what its makers take beside contexts: options, and its own keywords."""
    for module in resolved.imports:
        import_module(module)
    model = resolved.options_model
    options = load_object(model).model_validate(dict(resolved.options)) if model else None
    arguments: dict[str, Any] = {"options": options, **resolved.kwargs}
    if resolved.code is not None:
        import cloudpickle

        arguments["target"] = cloudpickle.loads(resolved.code)
    return arguments


def _made(resolved: ResolvedEnv, context: EnvContext) -> gymnasium.Env[Any, Any] | ParallelEnv:
    """What the maker makes."""
    arguments = maker_arguments(resolved)
    with what_to_install(resolved):
        env = load_object(resolved.maker)(context=context, **arguments)
    return env if is_parallel(env) else as_gymnasium(env, resolved.id, context)


def _wrapped(resolved: ResolvedEnv, env: gymnasium.Env[Any, Any], seen: list[gymnasium.Space[Any]]) -> gymnasium.Env[Any, Any]:
    """The environment with its wrappers; appends the observation space inside each to `seen`."""
    try:
        for maker, wrapper_options in resolved.wrappers:
            seen.append(env.observation_space)
            env = load_object(maker)(env, **wrapper_options)
    except BaseException:
        close_quietly(env)  # the first error is the one to report
        raise
    return env


def make_gymnasium(
    *,
    options: Any,
    context: EnvContext,
    spec: Mapping[str, JSON] | None = None,
    target: Any = None,
) -> gymnasium.Env[Any, Any]:
    """An environment of a `gymnasium.envs.registration.EnvSpec`, given as JSON (`spec`) or as the object (`target`)."""
    from gymnasium.envs.registration import EnvSpec

    made_from = target if spec is None else EnvSpec.from_json(json.dumps(spec))
    return gymnasium.make(made_from, disable_env_checker=True, **constructor_arguments(options, context))


def make_target(*, options: Any, context: EnvContext, target: str | Callable[..., Any]) -> Any:
    """What the user's class or callable (or the one that `"module:attr"` names) returns."""
    creator = load_object(target) if isinstance(target, str) else target
    return creator(**constructor_arguments(options, context))


def constructor_arguments(options: Any, context: EnvContext) -> dict[str, Any]:
    """Keyword arguments for an environment's own constructor; `render_mode` only where one is asked for."""
    arguments: dict[str, Any] = {} if options is None else options.model_dump()
    if context.render_mode is not None:
        arguments["render_mode"] = context.render_mode
    return arguments


def as_gymnasium(env: Any, name: str, context: EnvContext) -> gymnasium.Env[Any, Any]:
    """`env` itself, or a legacy gym environment in its adapter. Raises UserError for anything else."""
    if isinstance(env, gymnasium.Env):
        return env
    if any(base.__module__.partition(".")[0] == "gym" for base in type(env).__mro__):
        from arl_core.envs.legacy_gym import LegacyGymEnv

        return LegacyGymEnv(env, context.render_mode)
    if hasattr(env, "agent_iter"):
        raise UserError(
            f"environment '{name}' made {type(env).__name__}, whose agents take turns (AEC); "
            "pettingzoo.utils.conversions.aec_to_parallel makes it one that can be trained on"
        )
    if hasattr(env, "single_observation_space"):
        raise UserError(
            f"environment '{name}' made {type(env).__name__}, which steps many environments at once. Give its class itself, "
            "or register what makes it as a vector_entry_point with Gymnasium: --env gym-vector:<module>:<id>"
        )
    raise UserError(f"environment '{name}' made {type(env).__name__}, which is not a gymnasium.Env")


def resolved_to_json(resolved: ResolvedEnv) -> dict[str, JSON]:
    """`resolved` as JSON, for files and displays; code by value is base64."""
    code = None if resolved.code is None else base64.b64encode(resolved.code).decode("ascii")
    return {**asdict(resolved), "code": code}


def resolved_from_json(data: Mapping[str, Any]) -> ResolvedEnv:
    """The inverse of `resolved_to_json`, for what this very program wrote a moment ago.

    Never for a checkpoint or other file: building the result runs the code that it names. Resolve its id again.
    """
    code = data["code"]
    return ResolvedEnv(
        **{
            **data,
            "wrappers": tuple((maker, options) for maker, options in data["wrappers"]),
            "vector_wrappers": tuple(data["vector_wrappers"]),
            "imports": tuple(data["imports"]),
            "code": None if code is None else base64.b64decode(code),
        }
    )
