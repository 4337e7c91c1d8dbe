"""What every environment must do: build from its description alone, keep gymnasium's API, obey seeds, end, close."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import PassiveEnvChecker

from arl_core.envs.make import resolved_to_json
from arl_core.envs.spaces import ActionLayout, obs_specs
from arl_core.interfaces import UserError
from arl_core.models.spaces import network_space
from arl_core.testing.playing import Moment, first_difference, obeying_mask, play
from arl_core.testing.processes import in_fresh_process
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Variant

STEPS = 300
_REFUSAL = f"{UserError.__module__}.{UserError.__qualname__}: "  # as a traceback ends
# what check_env says of environments that are not registered with gymnasium, or that are wrapped: nothing to do about it
_EXPECTED = ("not having a spec", "different from the unwrapped version")


@contextmanager
def built(variant: Variant, seed: int = 1) -> Iterator[gymnasium.Env[Any, Any]]:
    """The single environment of a variant, closed at the end."""
    env = variant.build(seed)
    try:
        yield env
    finally:
        env.close()


def _play_apart(variant: Variant, seed: int) -> tuple[list[Moment], set[str]]:
    """Play in a fresh process. Returns the moments, and the modules that it imported."""
    result, ended = in_fresh_process("play", env=resolved_to_json(variant.resolved), seed=seed, steps=STEPS)
    if result is None:
        if variant.may_refuse and ended.last_line.startswith(_REFUSAL):
            raise SkipTest(f"it says: {ended.last_line.removeprefix(_REFUSAL)}")
        said = f": {ended.last_line}" if ended.last_line else ""
        raise CheckFailed(
            f"the process that built and stepped it {ended.how}{said}", f"see it: arl run --env {variant} --serial"
        )
    return [Moment(*moment) for moment in result["moments"]], set(result["modules"])


@rule("env.spawn", "import only what the environment needs in its module; the hook module stays out of it", essential=True)
def spawned(variant: Variant) -> Result:
    """A fresh process builds and steps it from `ResolvedEnv` alone."""
    moments, modules = _play_apart(variant, seed=1)
    unwanted = sorted({"pluggy", variant.subject.record.target} & modules)
    if unwanted and not variant.subject.is_core:
        raise CheckFailed(f"building it imports {' and '.join(unwanted)}")
    notes = ("it imports torch, so rollout workers start slowly",) if "torch" in modules else ()
    return ok(f"{len(moments) - 1} steps in a fresh process", notes)


@rule("env.spaces", "use Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them", essential=True)
def spaces(variant: Variant) -> Result:
    """The engine and the networks have an array form for its spaces."""
    with built(variant) as env:
        specs = obs_specs(env.observation_space)
        network_space(env.observation_space)
        layout = ActionLayout(env.action_space)
    shown = ", ".join(f"{key} {spec.dtype}{list(spec.shape)}" for key, spec in specs.items())
    return ok(f"{shown} -> {layout.size} {layout.dtype} action column{'s' * (layout.size > 1)}")


@rule("env.api", "gymnasium.farama.org, 'Env': reset and step")
def api(variant: Variant) -> Result:
    """Gymnasium's own `check_env`; its warnings are notes."""
    with built(variant) as env:
        return ok("", gymnasium_says(env, thoroughly=variant.deterministic))


def gymnasium_says(env: gymnasium.Env[Any, Any], *, thoroughly: bool) -> tuple[str, ...]:
    """What gymnasium warns of, in `check_env` if `thoroughly`, and in a hundred steps. Raises CheckFailed for errors, and
    UserError as it comes."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if thoroughly:
                check_env(obeying_mask(env.unwrapped), skip_render_check=True)
            play(PassiveEnvChecker(_Inside(env)), seed=1, steps=100)
    except UserError:
        raise
    except (AssertionError, TypeError, ValueError, KeyError) as error:
        raise CheckFailed(f"gymnasium says: {' '.join(str(error).split())}") from error
    return tuple(dict.fromkeys(_plain_text(w) for w in caught if not any(e in str(w.message) for e in _EXPECTED)))


class _Inside(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Raises where an observation is outside of its space; gymnasium's passive checker only warns."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._checked(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, *others = self.env.step(action)
        return self._checked(observation), *others

    def _checked(self, observation: Any) -> Any:
        if not self.observation_space.contains(observation):
            raise ValueError(f"the observation {observation!r} is not in {self.observation_space}")
        return observation


def _plain_text(warning: warnings.WarningMessage) -> str:
    text = " ".join(str(warning.message).split())
    return text.replace("\x1b[33m", "").replace("\x1b[0m", "").removeprefix("WARN: ")


@rule(
    "env.seeding",
    "draw from self.np_random (super().reset(seed=seed) seeds it), iterate over no sets; or say deterministic=False",
)
def seeding(variant: Variant) -> Result:
    """The same seed and actions give the same episodes in two processes."""
    if not variant.deterministic:
        return skip("declared deterministic=False")
    one, _ = _play_apart(variant, seed=1)
    other, _ = _play_apart(variant, seed=1)
    difference = first_difference(one, other)
    if difference:
        raise CheckFailed(f"two processes with one seed part: {difference}")
    with built(variant, seed=2) as env:
        same = not first_difference(one, play(env, seed=2, steps=STEPS))
    return ok(f"{STEPS} steps", ("another seed gave the same episodes: nothing is random here",) if same else ())


@rule("env.reset", "set every attribute of the episode in reset")
def reset(variant: Variant) -> Result:
    """`reset(seed)` leaves nothing of what was before, and the global random generators alone."""
    legacy, numbers = random.getstate(), copy.deepcopy(np.random.get_state())  # the global one is meant
    with built(variant) as env:
        first = play(env, seed=5, steps=STEPS)
        play(env, seed=6, steps=17, action_seed=1)  # somewhere in the middle of an episode
        again = play(env, seed=5, steps=STEPS)
    after = np.random.get_state()
    touched = [
        name for name, same in (("random", random.getstate() == legacy), ("numpy.random", _equal(numbers, after))) if not same
    ]
    if touched:
        raise CheckFailed(
            f"it draws from, or seeds, the global generator of {' and '.join(touched)}", "draw from self.np_random"
        )
    if not variant.deterministic:
        return skip("declared deterministic=False")
    difference = first_difference(first, again)
    if difference:
        raise CheckFailed(f"after reset(seed=5), and again after other episodes, {difference}")
    return ok()


def _equal(left: Any, right: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@rule("env.close", "let close do nothing where there is nothing left to close")
def closing(variant: Variant) -> Result:
    """`close` may be called twice, and before the first reset."""
    env = variant.build()
    env.close()
    env.close()
    return ok()


ENVIRONMENTS = (spawned, spaces, api, seeding, reset, closing)
