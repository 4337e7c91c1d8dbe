"""Pools as groups: endings, seeds, limits, spaces; and that CartPole is CartPole."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install arl-plugin-envpool")

from arl_plugin_envpool.group import EnvPoolGroup

from arl_core.envs.group import make_contexts
from arl_core.envs.make import frame_stacks_of
from arl_core.registry import make_env
from arl_core.testing.groups import Recorder, Step
from arl_core.testing.stacks import unlike_frames


def recorder(task_id: str, rows: int, first: int = 0, **arguments: Any) -> Recorder:
    return Recorder(EnvPoolGroup(task_id, make_contexts(7, first, rows), arguments=arguments))


def actions(rows: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2, (rows, 1))


def play(group: Recorder, steps: int) -> list[Step]:
    rng = np.random.default_rng(0)
    return [group.reset(), *(group.step(actions(group.group.num_envs, rng)) for _ in range(steps))]


def test_the_final_observation_survives_and_the_reset_step_is_invalid() -> None:
    steps = play(recorder("CartPole-v1", 8), 200)
    ended = 0
    for before, after in pairwise(steps):
        final = before.terminated | before.truncated
        ended += int(final.sum())
        fallen = (np.abs(before.obs["obs"][:, 2]) > 12 * 2 * np.pi / 360) | (np.abs(before.obs["obs"][:, 0]) > 2.4)
        np.testing.assert_array_equal(fallen, before.terminated)
        np.testing.assert_array_equal(~after.valid, final)
        assert (np.abs(after.obs["obs"][final]) <= 0.05).all()  # a first observation
        np.testing.assert_array_equal(after.rewards, np.where(final, 0.0, 1.0))
    assert ended > 20


def test_every_step_is_gymnasiums() -> None:
    steps = play(recorder("CartPole-v1", 4), 60)
    rng = np.random.default_rng(0)
    env: Any = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    for before, after in pairwise(steps):
        columns = actions(4, rng)
        for row in np.flatnonzero(after.valid):
            env.state, env.steps_beyond_terminated = before.obs["obs"][row].astype(float), None
            obs, reward, terminated, _, _ = env.step(int(columns[row, 0]))
            np.testing.assert_allclose(after.obs["obs"][row], obs, rtol=1e-4, atol=1e-5)
            assert (after.rewards[row], after.terminated[row]) == (reward, terminated)


def test_episodes_of_a_random_policy_last_as_long_as_gymnasiums() -> None:
    rng = np.random.default_rng(1)
    group = recorder("CartPole-v1", 64)
    lengths, length, last = [], np.zeros(64), group.reset()
    for _ in range(300):
        last = group.step(actions(64, rng))
        length += last.valid
        done = last.terminated | last.truncated
        lengths += length[done].tolist()
        length[done] = 0
    theirs = []
    env = gymnasium.make("CartPole-v1")
    for seed in range(300):
        env.reset(seed=seed)
        count, over = 0, False
        while not over:
            _, _, terminated, truncated, _ = env.step(int(rng.integers(2)))
            count, over = count + 1, terminated or truncated
        theirs.append(count)
    error = np.hypot(np.std(lengths) / len(lengths) ** 0.5, np.std(theirs) / len(theirs) ** 0.5)
    assert abs(np.mean(lengths) - np.mean(theirs)) < 4 * error
    assert np.std(lengths) == pytest.approx(np.std(theirs), rel=0.25)


def test_a_stream_depends_on_its_context_alone() -> None:
    together, apart = play(recorder("CartPole-v1", 4), 40), play(recorder("CartPole-v1", 2, first=2), 0)
    np.testing.assert_array_equal(together[0].obs["obs"][2:], apart[0].obs["obs"])
    assert len({row.tobytes() for row in together[0].obs["obs"]}) == 4


def test_a_second_reset_begins_again() -> None:
    group = recorder("CartPole-v1", 3)
    first = play(group, 30)
    again = play(group, 30)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.obs["obs"], other.obs["obs"])


def test_a_time_limit_truncates() -> None:
    steps = play(recorder("CartPole-v1", 4, max_episode_steps=5), 12)
    assert [int(step.truncated.sum()) for step in steps] == [0] * 5 + [4] + [0] * 5 + [4, 0]
    assert not any(step.terminated.any() for step in steps)
    assert not steps[6].valid.any()


def test_numbers_in_info_are_metrics_of_endings() -> None:
    group = recorder("HalfCheetah-v4", 2, max_episode_steps=3)
    group.reset()
    steps = [group.step(np.full((2, 6), 9.0, np.float32)) for _ in range(4)]
    assert [set(step.metrics) for step in steps[:2]] == [set(), set()]
    assert set(steps[2].metrics) == {"reward_run", "reward_ctrl", "x_position", "x_velocity"}
    np.testing.assert_allclose(steps[2].metrics["reward_ctrl"], -0.6, rtol=1e-5)  # actions of 9 are clipped to 1
    assert steps[0].obs["obs"].dtype == np.float32


def test_observations_in_parts_lie_under_their_keys() -> None:
    steps = play(recorder("MiniGrid-Empty-5x5-v0", 2), 3)
    shapes = {key: value.shape for key, value in steps[-1].obs.items()}
    assert shapes == {"direction": (2,), "image": (2, 7, 7, 3), "mission": (2, 96)}
    assert (steps[0].obs["image"] != 77).any()


@pytest.mark.parametrize("arguments", [{}, {"stack_num": 3, "gray_scale": False}])
def test_stacks_of_atari_are_what_is_said_of_them(arguments: dict[str, Any]) -> None:
    env = make_env("envpool:Pong-v5", arguments=arguments)
    stackings = frame_stacks_of(env)
    env.close()
    group = recorder("Pong-v5", 2, max_episode_steps=40, **arguments)
    steps = play(group, 100)
    group.group.close()
    assert sum(int(np.count_nonzero(~step.valid)) for step in steps) >= 2
    assert stackings
    assert unlike_frames(steps, stackings) == ""


@pytest.mark.parametrize(
    ("task_id", "arguments"), [("Pong-v5", {"episodic_life": True}), ("Pong-v5", {"stack_num": 1}), ("CartPole-v1", {})]
)
def test_nothing_is_said_of_other_observations(task_id: str, arguments: dict[str, Any]) -> None:
    env = make_env(f"envpool:{task_id}", arguments=arguments)
    assert frame_stacks_of(env) == {}
    env.close()


def test_a_pool_of_vizdoom_leaves_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it need them when its episodes begin anew."""
    monkeypatch.chdir(tmp_path)  # it writes its settings there
    group = recorder("D1Basic-v1", 2, max_episode_steps=40)
    group.reset()
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    mapped = [line for line in lines if "/dev/shm/ViZDoom" in line]
    assert len(mapped) >= 6
    assert all(line.endswith("(deleted)") for line in mapped)
    steps = [group.step(np.zeros((2, group.group._layout.size), np.int64)) for _ in range(100)]
    assert sum(int(np.count_nonzero(~step.valid)) for step in steps) >= 4
    group.group.close()
