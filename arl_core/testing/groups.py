"""Environments as the engine steps them: the vectorised form against the single one, saved states, endings, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.config.sources import Text
from arl_core.envs.decorrelate import RandomActions, ends_episodes
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.vector_env import has_one_seed
from arl_core.interfaces import EnvGroup, StepViews, UserError
from arl_core.spaces import ACTION_MASK
from arl_core.testing.agents import JointEnv
from arl_core.testing.choices import with_choices
from arl_core.testing.playing import play
from arl_core.testing.results import CheckFailed, Result, Rule, ok, rule, skip
from arl_core.testing.subject import Subject, Variant

ROWS = 4
EQUAL_STEPS = 2000
EQUAL_EPISODES = 3  # a row: enough resets to be compared
EQUAL_LIMIT_S = 10.0
SPEED_ROWS = 16
SPEED_S = 0.5
_RUBBISH = 77  # where an entry was not written, it shows


class Step(NamedTuple):
    """What one step of a group wrote, by value; every array has one row an environment."""

    obs: Mapping[str, NDArray[Any]]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    metrics: Mapping[str, NDArray[np.float64]]


Actions = Callable[[Step], NDArray[Any]]


class Recorder:
    """A group with memory of its own, as an engine gives it."""

    def __init__(self, group: EnvGroup) -> None:
        self.group = group
        self.obs = {key: np.full((group.num_envs, *spec.shape), _RUBBISH, spec.dtype) for key, spec in group.obs_specs.items()}

    def reset(self) -> Step:
        """Reset every environment with its context's seed."""
        self.group.reset_into(self.obs)
        rows = self.group.num_envs
        flags = np.zeros((2, rows), np.bool_)
        return Step(self._copied(), np.zeros(rows, np.float32), flags[0], flags[1], np.ones(rows, np.bool_), {})

    def step(self, actions: NDArray[Any]) -> Step:
        """Take one step with `actions` [E, A]."""
        rows = self.group.num_envs
        for array in self.obs.values():
            array[...] = np.array(_RUBBISH).astype(array.dtype)
        rewards = np.full(rows, np.nan, np.float32)
        terminated, truncated, valid = (np.ones(rows, np.bool_) for _ in range(3))
        self.group.send(actions)
        ends = self.group.recv_into(StepViews(self.obs, rewards, terminated, truncated, valid))
        metrics: dict[str, NDArray[np.float64]] = {}
        for key, values in ends.metrics.items() if ends is not None else ():
            metrics[key] = np.full(rows, np.nan)
            metrics[key][ends.rows] = values  # type: ignore[union-attr]  # there are none without ends
        return Step(self._copied(), rewards, terminated, truncated, valid, metrics)

    def _copied(self) -> dict[str, NDArray[Any]]:
        return {key: array.copy() for key, array in self.obs.items()}


@contextmanager
def recorded(variant: Variant, rows: int, *, vectorised: bool) -> Iterator[Recorder]:
    """A group of the variant's environments, closed at the end."""
    resolved = variant.resolved if vectorised else replace(variant.resolved, vector_maker=None)
    group = build_group(resolved, make_contexts(1, 0, rows))
    try:
        yield Recorder(group)
    finally:
        group.close()
        group.close()  # idempotent


def action_columns(variant: Variant, group: Recorder) -> Actions:
    """Random actions for a group of the variant's environments, as `drawn_actions`."""
    env = variant.build()
    space = env.agent_action_space if isinstance(env, JointEnv) else env.action_space
    env.close()
    return drawn_actions(space, group)


def drawn_actions(space: spaces.Space[Any], group: Recorder) -> Actions:
    """Random action columns [E, A] after a step, the same for every group that is compared; masks are obeyed."""
    drawn = RandomActions(space, [np.random.default_rng([row, 1]) for row in range(group.group.num_envs)])
    return lambda last: drawn.draw(last.obs.get(ACTION_MASK))


def difference(left: Step, right: Step) -> str:
    """How two steps differ, in words; empty where they are the same. Floats may differ by rounding."""
    if left.obs.keys() != right.obs.keys():
        return f"observations have the keys {sorted(left.obs)} and {sorted(right.obs)}"
    for key, value in left.obs.items():
        other = right.obs[key]
        if value.dtype != other.dtype or value.shape != other.shape:
            return f"observation '{key}' is {value.dtype}{list(value.shape[1:])} and {other.dtype}{list(other.shape[1:])}"
    pairs: list[tuple[str, Any, Any]] = [(f"observation '{key}'", value, right.obs[key]) for key, value in left.obs.items()]
    pairs += [(name, getattr(left, name), getattr(right, name)) for name in ("rewards", "terminated", "truncated", "valid")]
    nothing = np.full(len(left.rewards), np.nan)
    for key in sorted({*left.metrics, *right.metrics}):
        pairs.append((f"metric '{key}'", left.metrics.get(key, nothing), right.metrics.get(key, nothing)))
    for name, a, b in pairs:
        wrong = ~np.isclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True) if a.dtype.kind == "f" else a != b
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            return f"{name} of environment {where[0]}: {a[where]} and {b[where]}"
    return ""


def vector_equals_single(variant: Variant) -> Result:
    """The vectorised form equals the single one step for step, over several episodes."""
    if variant.resolved.vector_maker is None:
        return skip("has no vector_maker")
    with recorded(variant, 1, vectorised=True) as first:
        rows = 1 if has_one_seed(first.group) else ROWS
    with recorded(variant, rows, vectorised=True) as one, recorded(variant, rows, vectorised=False) as other:
        return compared(one, other, action_columns(variant, one))


def compared(one: Recorder, other: Recorder, actions: Actions) -> Result:
    """Step a vectorised group beside single environments. Raises CheckFailed where they part."""
    left, right = one.reset(), other.reset()
    rows = one.group.num_envs
    episodes = np.zeros(rows, np.int64)
    began = time.monotonic()
    for step in range(EQUAL_STEPS + 1):
        parted = difference(left, right)
        if parted:
            raise CheckFailed(f"step {step}: {parted} (vectorised and single)")
        if episodes.min() >= EQUAL_EPISODES or time.monotonic() - began > EQUAL_LIMIT_S:
            break
        columns = actions(left)
        left, right = one.step(columns), other.step(columns)
        episodes += left.terminated | left.truncated
    _begin_anew_alike(one, other, actions, left)
    notes = () if episodes.any() else (f"no episode ended in {step} steps: endings were not compared",)
    return ok(f"{step} steps, {int(episodes.sum())} episodes in {rows} environments", notes)


def _begin_anew_alike(one: Recorder, other: Recorder, actions: Actions, last: Step) -> None:
    """`end_episodes`, where the vectorised form has it, resets those rows in the next step and no others."""
    if not ends_episodes(one.group):
        return
    rows = np.array([0, one.group.num_envs - 1])
    for recorder in (one, other):
        recorder.group.end_episodes(rows)  # type: ignore[attr-defined]  # optional: see `ends_episodes`
    for step in range(3):
        columns = actions(last)
        last, right = one.step(columns), other.step(columns)
        parted = difference(last, right)
        if parted:
            raise CheckFailed(f"{step + 1} steps after end_episodes({rows.tolist()}): {parted} (vectorised and single)")


@rule("env.state", "save random generators, clocks and episode state too")
def saved_state(variant: Variant) -> Result:
    """A group goes on exactly as it would have, after get_state in one and set_state in another."""
    forms = []
    for vectorised in (True, False) if variant.resolved.vector_maker else (False,):
        with recorded(variant, ROWS, vectorised=vectorised) as group, recorded(variant, ROWS, vectorised=vectorised) as copy:
            form = "vectorised" if vectorised else "single"
            if _continues(group, copy, action_columns(variant, group)):
                forms.append(form)
    if not forms:
        return skip("cannot be saved (get_state, set_state): a resumed run begins its episodes anew")
    return ok(" and ".join(forms))


def _continues(group: Recorder, copy: Recorder, actions: Actions) -> bool:
    """Compare a group with its copy; False where it cannot be saved."""
    last = group.reset()
    for _ in range(37):
        last = group.step(actions(last))
    state = group.group.get_state()
    if state is None:
        return False
    _check_state(state)
    saved = {key: value.copy() for key, value in state.items()}
    copy.reset()
    copy.group.set_state(saved)
    for step in range(80):
        columns = actions(last)
        last, other = group.step(columns), copy.step(columns)
        parted = difference(last, other)
        if parted:
            raise CheckFailed(f"step {step} after the state was saved: {parted} (original and restored)")
    return True


def _check_state(state: Mapping[str, Any]) -> None:
    for key, value in state.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise CheckFailed(f"get_state()['{key}'] is {kind}: a checkpoint holds arrays of numbers only")


@rule("env.episodes", "return finite rewards")
def endings_and_speed(variant: Variant) -> Result:
    """Episodes end; how fast it steps."""
    with recorded(variant, SPEED_ROWS, vectorised=True) as group:  # the group that the engine would use
        actions = action_columns(variant, group)
        last = group.reset()
        steps, spent, began = 0, 0.0, time.monotonic()
        totals, counts = np.zeros(len(last.rewards)), np.zeros(len(last.rewards), np.int64)
        returns: list[float] = []
        lengths: list[int] = []
        while time.monotonic() - began < SPEED_S:
            columns = actions(last)
            start = time.perf_counter()
            last = group.step(columns)
            spent += time.perf_counter() - start
            steps += int(last.valid.sum())
            totals += last.rewards
            counts += last.valid
            done = last.terminated | last.truncated
            returns += totals[done].tolist()
            lengths += counts[done].tolist()
            totals[done], counts[done] = 0.0, 0
    if not np.isfinite(returns).all():
        raise CheckFailed("a return is not finite")
    speed = f"{steps / spent:,.0f} steps/s in a group of {SPEED_ROWS}"
    if not lengths:
        return ok(speed, (f"no episode ended in {steps:,} random steps: give the variant max_episode_steps",))
    means = f"mean length {np.mean(lengths):.3g}, mean return {np.mean(returns):.3g}"
    return ok(f"{len(lengths)} random episodes, {means}; {speed}")


@rule("options.values", "refuse what does not go together with arl_core.interfaces.UserError, in one line")
def option_values(subject: Subject) -> Result:
    """Every value of an option with few means the same typed as text, builds, steps, and is vectorised alike; or is refused
    with a UserError."""
    chosen = with_choices(subject.variants[0]) if subject.variants else []
    if not chosen:
        return skip("has no options with a list of choices")
    refused = []
    for variant in chosen:
        try:
            env = variant.build()
        except UserError as error:
            refused.append(f"{variant} is refused: {error}")
            continue
        text = {name: Text(value) for name, value in variant.options.items()}
        if variant.subject.resolve(variant.name, **text).options != variant.resolved.options:
            raise CheckFailed(f"{variant}: typed on the command line it means something else")
        play(env, seed=1, steps=20)
        env.close()
        try:
            vector_equals_single(variant)
        except CheckFailed as failure:
            raise CheckFailed(f"{variant}: {failure.message}", VECTOR.cure) from failure
    return ok(f"{len(chosen)} choices", tuple(refused))


VECTOR = Rule(
    "env.vector",
    "next-step autoreset: the step after an ending ignores its action, resets, has reward 0 and valid False "
    "(arl_core/interfaces.py, EnvGroup); write every entry at every step",
    vector_equals_single,
)
GROUPS = (VECTOR, saved_state, endings_and_speed)
