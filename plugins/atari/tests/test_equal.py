"""The back ends against each other: the same games, frame by frame, with the same seeds."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")

from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import frame_stacks_of
from arl_core.registry import make_env, resolve_env
from arl_core.testing.groups import Recorder, Step, difference
from arl_core.testing.stacks import unlike_frames

ROWS = 2


def recorder(game: str, rows: int = ROWS, *, evaluation: bool = False, **options: Any) -> Recorder:
    return Recorder(build_group(resolve_env(f"atari:{game}", options), make_contexts(1, 0, rows, evaluation=evaluation)))


def columns(game: str, steps: int, rows: int = ROWS) -> Any:
    env = make_env(f"atari:{game}")
    size = env.action_space.n  # type: ignore[attr-defined]
    env.close()
    return np.random.default_rng(0).integers(0, size, (steps, rows, 1))


def played(group: Recorder, actions: Any) -> list[Step]:
    steps = [group.reset(), *(group.step(each) for each in actions)]
    group.group.close()
    return steps


def assert_same(one: list[Step], other: list[Step], first: int = 0) -> None:
    """Rewards, endings and metrics are equal; images may differ by one where their size is rounded. The last image of an
    episode is not compared: ALE's vectorised environment leaves out the raw frames of a step that was cut short."""
    for number, (left, right) in enumerate(zip(one, other, strict=True)):
        assert difference(left._replace(obs={}), right._replace(obs={})) == "", f"step {number}"
        running = ~(left.terminated | left.truncated)
        if number >= first and running.any():
            apart = np.abs(left.obs["obs"][running].astype(int) - right.obs["obs"][running])
            assert apart.max() <= 1, f"step {number}"
            assert (apart > 0).mean() < 1e-3, f"step {number}"


@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("breakout-v5", {"life_loss": True, "max_frames": 320}),
        ("freeway", {"frame_skip": 3, "frame_stack": 2, "max_frames": 200}),
        ("adventure", {"max_frames": 200}),  # its screen has 250 rows, not 210
        pytest.param("pong-v5", {"max_frames": 280, "full_action_set": True, "reward_clip": False}, marks=pytest.mark.slow),
    ],
)
def test_ale_vector_plays_the_games_of_the_one_in_python(game: str, options: dict[str, Any]) -> None:
    actions = columns(game, 90)
    fast, slow = (played(recorder(game, backend=backend, **options), actions) for backend in ("ale-vector", "gymnasium"))
    assert_same(fast, slow)
    assert sum(int(step.truncated.sum() + step.terminated.sum()) for step in fast) >= 2


def test_an_evaluation_plays_whole_games_and_begins_their_lives() -> None:
    actions = np.zeros((450, ROWS, 1), np.int64)  # nothing: only the plugin presses fire
    options = {"evaluation": True, "life_loss": True}
    fast, slow = (played(recorder("breakout", backend=name, **options), actions) for name in ("ale-vector", "gymnasium"))
    assert_same(fast, slow)
    ends = [(step.metrics["lives"], step.metrics["score"]) for step in fast if step.terminated.any()]
    assert ends
    assert all(np.nanmax(lives) == 0 and np.isfinite(score).any() for lives, score in ends)
    lost = sum(int(step.valid.size - step.valid.sum()) for step in fast)
    assert lost == sum(int(step.terminated.sum()) for step in fast[:-1])  # resets alone


@pytest.mark.parametrize("game", ["pong", pytest.param("breakout", marks=pytest.mark.slow)])
def test_envpool_plays_them_too_but_for_the_first_frames(game: str) -> None:
    pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'arl-plugin-atari[envpool]'")
    options = {"noop_max": 1, "life_loss": True, "max_frames": 10_000}
    actions = columns(game, 80)
    fast, other = (played(recorder(game, backend=backend, **options), actions) for backend in ("ale-vector", "envpool"))
    whole = next(
        (n for n, step in enumerate(fast) if "score" in step.metrics and np.isfinite(step.metrics["score"]).any()), 120
    )
    assert_same(fast[:whole], other[:whole], first=4)
    np.testing.assert_array_equal(fast[0].obs["obs"][:, -1], other[0].obs["obs"][:, -1])
    assert not fast[0].obs["obs"][:, 0].any()
    np.testing.assert_array_equal(other[0].obs["obs"][:, 0], other[0].obs["obs"][:, -1])


def test_a_stream_depends_on_its_context_alone() -> None:
    actions = columns("breakout-v5", 30, rows=3)
    three = played(recorder("breakout-v5", 3), actions)
    two = played(recorder("breakout-v5", 2), actions[:, :2])
    assert all((a.obs["obs"][:2] == b.obs["obs"]).all() for a, b in zip(three, two, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["gymnasium", "envpool"])
def test_games_of_a_random_policy_are_as_long_and_as_good(backend: str) -> None:
    if backend == "envpool":
        pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'arl-plugin-atari[envpool]'")
    actions = columns("breakout", 700, rows=24)
    samples = []
    for name in ("ale-vector", backend):
        group = recorder("breakout", 24, backend=name)
        group.reset()
        ends = [group.step(each).metrics for each in actions]
        samples.append({key: np.concatenate([end[key] for end in ends if end]) for key in ("score", "raw_frames")})
        group.group.close()
    for key in ("score", "raw_frames"):
        one, other = (sample[key][np.isfinite(sample[key])] for sample in samples)
        assert min(len(one), len(other)) > 50
        error = np.hypot(one.std() / len(one) ** 0.5, other.std() / len(other) ** 0.5)
        assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.parametrize("backend", ["ale-vector", "gymnasium", "envpool"])
@pytest.mark.parametrize("options", [{}, {"frame_stack": 3, "fire_reset": False, "noop_max": 1}])
def test_stacks_are_what_is_said_of_them(backend: str, options: dict[str, Any]) -> None:
    if backend == "envpool":
        pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'arl-plugin-atari[envpool]'")
    options = {"backend": backend, "max_frames": 200, **options}
    env = make_env("atari:breakout", **options)
    stackings = frame_stacks_of(env)
    env.close()
    steps = played(recorder("breakout", **options), columns("breakout", 150))
    assert unlike_frames(steps, stackings) == ""
    assert sum(int(np.count_nonzero(~step.valid)) for step in steps) >= 4
    otherwise = {"obs": stackings["obs"]._replace(copies_first=not stackings["obs"].copies_first)}
    assert unlike_frames(steps, otherwise) != ""


def test_lives_go_on_with_the_frames_before_them() -> None:
    env = make_env("atari:breakout", life_loss=True)
    assert frame_stacks_of(env) == {}, "they are stored whole"
    env.close()
