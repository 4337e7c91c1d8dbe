"""The two forms of each wrapper, step for step, on the maze's vectorised environment and on groups of single ones."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from arl_plugin_maze.group import MazeGroup
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from arl_core.envs.group import EnvironmentFault, SingleEnvGroup, build_group, make_contexts
from arl_core.envs.make import build_env, inner_spaces, resolved_from_json, resolved_to_json
from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import (
    EnvContext,
    EnvGroup,
    EnvSpec,
    ResolvedEnv,
    StepViews,
    UserError,
    WrapperRef,
    WrapperSpec,
    load_object,
)
from arl_core.registry import resolve_env
from arl_core.registry.catalog import wrapper_spec
from arl_core.registry.resolve import _vector_form

Entry = dict[str, Any]


class Pieces(gymnasium.Env[Any, Any]):
    """A Dict with images, classes, a Tuple and an action mask; episodes end both ways; it can be saved."""

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            {
                "eye": spaces.Box(0, 255, (6, 4, 3), np.uint8),
                "kind": spaces.Discrete(5, start=2),
                "parts": spaces.Tuple([spaces.MultiDiscrete([2, 3]), spaces.Box(-9, 9, (2,), np.float64)]),
                "action_mask": spaces.MultiBinary(3),
            }
        )
        self.action_space = spaces.Discrete(3)
        self.age = 0
        self._eye = np.zeros((6, 4, 3), np.uint8)

    def _observe(self) -> Any:
        rng = self.np_random
        self._eye[:] = rng.integers(0, 256, self._eye.shape)
        parts = (rng.integers(0, [2, 3]), rng.uniform(-9, 9, 2))
        mask = np.ones(3, np.int8)
        return {"eye": self._eye, "kind": int(rng.integers(2, 7)), "parts": parts, "action_mask": mask}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.age = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.age += 1
        draw = self.np_random.random()
        reward = float(self.np_random.normal()) * 3
        return self._observe(), reward, bool(draw < 0.15), bool(0.15 < draw < 0.25), {"age": self.age}

    def get_state(self) -> dict[str, Any]:
        from arl_core.envs.state import rng_to_array

        return {"rng": rng_to_array(self.np_random), "age": np.array(self.age)}

    def set_state(self, state: dict[str, Any]) -> None:
        from arl_core.envs.state import rng_from_array

        self.np_random, self.age = rng_from_array(state["rng"]), int(state["age"])


class Recorder:
    """A group with memory of its own that begins as rubbish, so that an unwritten entry shows."""

    def __init__(self, group: EnvGroup) -> None:
        self.group = group
        envs = group.num_envs
        obs = {key: np.full((envs, *spec.shape), 77, spec.dtype) for key, spec in group.obs_specs.items()}
        self.views = StepViews(obs, np.full(envs, np.nan, np.float32), *(np.ones(envs, bool) for _ in range(3)))

    def step(self, actions: Any) -> dict[int, dict[str, float]]:
        self.group.send(actions)
        ends = self.group.recv_into(self.views)
        if ends is None:
            return {}
        return {row: {k: float(v[i]) for k, v in ends.metrics.items()} for i, row in enumerate(ends.rows.tolist())}


def same_step(one: Recorder, other: Recorder, actions: Any) -> None:
    assert one.step(actions) == other.step(actions)
    for mine, theirs in zip(one.views[2:], other.views[2:], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # a group scales what was rounded to float32 already: one rounding for each of at most two wrappers
    np.testing.assert_array_max_ulp(one.views.rewards, other.views.rewards, 2)
    same_obs(one, other)


def same_obs(one: Recorder, other: Recorder) -> None:
    assert set(one.views.obs) == set(other.views.obs)
    for key, mine in one.views.obs.items():
        assert mine.dtype == other.views.obs[key].dtype
        np.testing.assert_array_equal(mine, other.views.obs[key])


def compare(single: EnvGroup, vector: EnvGroup, space: Any, seed: int, steps: int) -> None:
    """Both, step for step with random actions."""
    one, other = Recorder(single), Recorder(vector)
    assert dict(single.obs_specs) == dict(vector.obs_specs)
    single.reset_into(one.views.obs)
    vector.reset_into(other.views.obs)
    same_obs(one, other)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        same_step(one, other, rng.integers(0, space.n, (single.num_envs, 1)))


def wrapped_group(make: Callable[[], Any], entries: Sequence[Entry], count: int, seed: int) -> tuple[EnvGroup, EnvGroup, Any]:
    """Single environments in their wrappers, and a group of plain ones in the vector forms."""
    contexts = make_contexts(seed, 0, count)
    resolved = resolve_env(make, wrappers=entries)
    singles = [build_env(resolved, context) for context in contexts]
    group: EnvGroup = SingleEnvGroup([make() for _ in contexts], contexts)
    for entry, (_, options), space in zip(entries, resolved.wrappers, inner_spaces(resolved, contexts[0]), strict=True):
        form = wrapper_spec(entry["name"]).vector_maker
        assert form is not None
        group = load_object(form)(group, space, **options)
    assert obs_specs(singles[0].observation_space) == dict(group.obs_specs)
    return SingleEnvGroup(singles, contexts), group, singles[0].action_space


def entry(name: str, **options: Any) -> Entry:
    return {"name": name, "options": options}


REWARDS = st.sampled_from(
    [
        entry("reward-scale", scale=-0.3),
        entry("reward-scale", scale=10),
        entry("reward-clip"),
        entry("reward-clip", low=0.25, high=0.5),
        entry("reward-clip", sign=True),
    ]
)
PIECES = st.sampled_from(
    [
        entry("pixel-format-chw"),
        entry("grayscale"),
        entry("resize", height=3, width=5),
        entry("frame-stack", k=1),
        entry("frame-stack", k=3),
        entry("frame-stack", k=2, keys=["eye"], axis=1),
        entry("one-hot"),
        entry("one-hot", keys=["kind"]),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=3), st.booleans(), st.lists(REWARDS, max_size=2), st.integers(0, 2**31), st.integers(1, 4))
def test_both_forms_on_a_dictionary(obs: list[Entry], flatten: bool, rewards: list[Entry], seed: int, count: int) -> None:
    entries = [*obs, *([entry("flatten-dict")] if flatten else []), *rewards]
    try:
        single, vector, actions = wrapped_group(Pieces, entries, count, seed)
    except UserError as error:
        assert "needs" in str(error)  # noqa: PT017  # a chain that does not fit, such as gray twice: both forms refuse it
        return
    compare(single, vector, actions, seed, 40)


def make_taxi() -> Any:
    newest = max(name for name in gymnasium.registry if name.startswith("Taxi-v"))  # v3 in 1.2, v4 in 1.4
    return gymnasium.make(newest, max_episode_steps=7)


def make_blackjack() -> Any:
    return gymnasium.make("Blackjack-v1")


def make_cartpole() -> Any:
    return gymnasium.make("CartPole-v1", max_episode_steps=20)


@pytest.mark.parametrize(
    ("make", "entries"),
    [
        (make_taxi, [entry("one-hot"), entry("frame-stack", k=2)]),
        (make_blackjack, [entry("one-hot"), entry("flatten-dict"), entry("reward-clip", low=0, high=1)]),
        (make_cartpole, [entry("frame-stack", k=4), entry("reward-scale", scale=0.1)]),
    ],
)
def test_both_forms_on_gymnasiums_environments(make: Any, entries: list[Entry]) -> None:
    single, vector, actions = wrapped_group(make, entries, 5, 3)
    compare(single, vector, actions, 3, 120)


# --------------------------------------------------------------------------- the maze, through resolution


IMAGES = st.sampled_from([entry("grayscale"), entry("resize", height=20, width=30), entry("frame-stack", k=2)])
STACKS = st.sampled_from([entry("frame-stack", k=3), entry("frame-stack", k=2, axis=-1), entry("frame-stack", k=1)])


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["position", "grid", "pixels"]), st.integers(0, 2**31), st.integers(1, 4))
def test_both_forms_on_the_vectorised_maze(data: st.DataObject, observation: str, seed: int, count: int) -> None:
    entries = data.draw(st.lists(IMAGES if observation == "pixels" else STACKS, max_size=2))
    names = [each["name"] for each in entries]
    if names.count("grayscale") == 2 or names[:2] == ["frame-stack", "grayscale"]:
        entries.pop()
    entries += data.draw(st.lists(REWARDS, max_size=2))
    options = {"observation": observation, "max_steps": 9, "size": 3, "new_maze_each_episode": True}
    resolved = resolve_env("maze:random-3x3", options, entries)
    assert resolved.vector_maker is not None
    contexts = make_contexts(seed, 2, count)
    single = SingleEnvGroup([build_env(resolved, context) for context in contexts], contexts)
    vector = build_group(resolved_from_json(json.loads(json.dumps(resolved_to_json(resolved)))), contexts)
    assert not isinstance(vector, SingleEnvGroup)
    compare(single, vector, spaces.Discrete(4), seed, 40)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["maze", "pieces"]), st.sampled_from(["single", "vector"]), st.integers(0, 2**31), st.integers(0, 20))
def test_a_saved_group_goes_on_bit_for_bit(which: str, form: str, seed: int, before: int) -> None:
    def make() -> Recorder:
        entries = [entry("frame-stack", k=3), entry("reward-clip", high=0.5)]
        if which == "pieces":
            pair = wrapped_group(Pieces, [entry("one-hot"), *entries], 3, seed)
            return Recorder(pair[form == "vector"])
        resolved = resolve_env("maze:random-3x3", {"max_steps": 6, "observation": "grid"}, entries)
        contexts = make_contexts(seed, 0, 3)
        if form == "vector":
            return Recorder(build_group(resolved, contexts))
        return Recorder(SingleEnvGroup([build_env(resolved, context) for context in contexts], contexts))

    actions = np.random.default_rng(seed).integers(0, 3, (before + 30, 3, 1))
    one, two = make(), make()
    one.group.reset_into(one.views.obs)
    for row in actions[:before]:
        one.step(row)
    state = one.group.get_state()
    assert state is not None
    saved = {key: value.copy() for key, value in state.items()}
    assert all(value.dtype != object for value in saved.values())
    two.group.reset_into(two.views.obs)
    two.group.set_state(saved)
    for row in actions[before:]:
        same_step(one, two, row)
        assert one.views.rewards.tobytes() == two.views.rewards.tobytes()


def test_a_group_that_cannot_be_saved_says_so_through_its_wrappers() -> None:
    _, vector, _ = wrapped_group(make_taxi, [entry("one-hot"), entry("frame-stack")], 2, 0)
    assert vector.get_state() is None


# --------------------------------------------------------------------------- what resolution decides


def maze(*entries: Entry, **options: Any) -> ResolvedEnv:
    return resolve_env("maze:random-3x3", options, entries)


def test_a_vectorised_environment_stays_so_where_every_wrapper_has_a_form() -> None:
    images = maze(entry("grayscale"), entry("reward-scale", scale=2), observation="pixels")
    assert images.vector_maker == "arl_plugin_maze.group:make"
    assert images.vector_wrappers == (
        None,  # pixel-format-chw, which the maze does itself
        "arl_core.envs.wrappers:grayscale_group",
        "arl_core.envs.wrappers:RewardScaleGroup",
    )
    assert pickle.loads(pickle.dumps(images)) == images
    assert resolved_from_json(json.loads(json.dumps(resolved_to_json(images)))) == images
    for single in (entry("time-limit", max_episode_steps=3), entry("frame-skip")):
        resolved = maze(entry("reward-clip"), single)
        assert (resolved.vector_maker, resolved.vector_wrappers) == (None, ())
        assert resolved.single_because == f"wrapper '{single['name']}' has no vector form"
        assert isinstance(build_group(resolved, make_contexts(0, 0, 2)), SingleEnvGroup)
    never = resolve_env("gym:CartPole-v1", wrappers=[entry("frame-skip")])
    assert (never.vector_maker, never.single_because) == (None, "")


def test_a_wrapper_inside_one_that_the_environment_does_itself_needs_single_environments() -> None:
    spec = EnvSpec("x", "m:make", vector_maker="m:group")
    own, other = WrapperRef("a", in_vector_maker=True), WrapperRef("b")
    with_form, without = WrapperSpec("", "m:one", vector_maker="m:all"), WrapperSpec("lone", "m:one")
    assert _vector_form(spec, [own, other], [without, with_form]) == ("m:group", (None, "m:all"), "")
    assert _vector_form(spec, [own], [with_form, with_form]) == ("m:group", (None, "m:all"), "")
    inside = "a wrapper stands inside one that the vectorised form has in itself"
    assert _vector_form(spec, [other, own], [with_form, with_form]) == (None, (), inside)
    assert _vector_form(spec, [own, other], [without, without]) == (None, (), "wrapper 'lone' has no vector form")
    assert _vector_form(spec, [], []) == ("m:group", (), "")
    assert _vector_form(EnvSpec("x", "m:make"), [], [with_form]) == (None, (), "")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[MazeGroup]:
    """The maze groups that were closed."""
    seen: list[MazeGroup] = []
    monkeypatch.setattr(MazeGroup, "close", lambda group: seen.append(group))
    return seen


def test_a_misfit_in_a_vector_form_is_the_users_mistake_and_closes_the_group(closed: list[MazeGroup]) -> None:
    with pytest.raises(UserError, match="wrapper 'one-hot' needs a Discrete"):
        build_group(maze(entry("one-hot")), make_contexts(0, 0, 2))
    assert len(closed) == 1


def test_closing_goes_through_every_form(closed: list[MazeGroup]) -> None:
    build_group(
        maze(entry("frame-stack"), entry("reward-clip"), entry("resize"), observation="pixels"), make_contexts(0, 0, 2)
    ).close()
    assert len(closed) == 1


def test_what_a_vector_form_raises_is_told_with_the_environment() -> None:
    broken = resolved_to_json(maze(entry("reward-clip")))
    broken["vector_wrappers"] = ["operator:truediv"]
    with pytest.raises(EnvironmentFault, match=r"environment 4 .*construction: TypeError"):
        build_group(resolved_from_json(broken), make_contexts(0, 4, 2))


def test_inner_spaces_are_those_inside_each_wrapper() -> None:
    resolved = maze(entry("grayscale"), entry("frame-stack", k=2), observation="pixels")
    shapes = [space.shape for space in inner_spaces(resolved, EnvContext(0, 0, 0))]
    assert shapes == [(64, 64, 3), (3, 64, 64), (1, 64, 64)]


OPTION_MISTAKES = [
    (entry("frame-stack", k=0), "wrapper 'frame-stack': k: input should be greater than or equal to 1, got 0"),
    (entry("frame-stack", sixe=2), "wrapper 'frame-stack' has no option 'sixe'. It has: keys, k, axis"),
    (entry("resize", widht=2), "wrapper 'resize' has no option 'widht'. Did you mean 'width'?"),
    (entry("reward-scale"), "wrapper 'reward-scale': scale is missing: it has no default"),
    (entry("reward-clip", low=2), "wrapper 'reward-clip': low (2) must be less than high (1)"),
    (entry("frame-skip", skip=1, max_last_two=True), "wrapper 'frame-skip': max_last_two needs a skip of 2 or more"),
    (entry("flatten-dict", keys=["a"]), "wrapper 'flatten-dict' has no option 'keys'. It has none"),
    (entry("reward-scale", scale=float("nan")), "wrapper 'reward-scale': scale: input should be a finite number, got nan"),
]


@pytest.mark.parametrize(("wrong", "message"), OPTION_MISTAKES)
def test_options_are_checked_where_the_run_is_resolved(wrong: Entry, message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_env("gym:CartPole-v1", wrappers=[wrong])
    assert str(caught.value) == message


def test_defaults_are_filled_in_and_gymnasiums_name_is_known() -> None:
    resolved = resolve_env("gym:CartPole-v1", wrappers=[entry("frame-stack", **{"stack-size": 2})])
    assert resolved.wrappers == (("arl_core.envs.wrappers:FrameStack", {"k": 2, "keys": None, "axis": None}),)
