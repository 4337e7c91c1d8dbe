"""Lives, scores, clipped rewards, frames: what the group and the game in Python both promise."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py", reason="ale-py is not installed: pip install arl-plugin-atari")

from arl_plugin_atari.env import AtariEnv
from arl_plugin_atari.options import AtariOptions
from arl_plugin_atari.task import resolve_task

from arl_core import APPO
from arl_core.envs.group import build_group, make_contexts
from arl_core.interfaces import EnvContext, UserError
from arl_core.registry import make_env, resolve_env
from arl_core.testing.groups import Recorder


def recorder(game: str, rows: int, **options: Any) -> Recorder:
    return Recorder(build_group(resolve_env(f"atari:{game}", options), make_contexts(3, 0, rows)))


def test_with_life_loss_the_score_is_that_of_the_whole_game() -> None:
    whole, lives = recorder("breakout", 2, reward_clip=False), recorder("breakout", 2, life_loss=True)
    lives.reset()
    games, losses, total = 0, 0, np.zeros(2)
    rng = np.random.default_rng(0)
    for _ in range(700):
        step = lives.step(rng.integers(0, 4, (2, 1)))
        assert not step.rewards[~step.valid].any()
        total += step.rewards
        for row in np.flatnonzero(step.terminated):
            score = step.metrics["score"][row]
            if np.isnan(score):
                losses += 1
                assert 1 <= step.metrics["lives"][row] <= 4
            else:
                games += 1
                assert step.metrics["lives"][row] == 0
                assert score >= total[row]  # bricks of the upper rows count up to 7, clipped to 1
                assert step.metrics["raw_frames"][row] % 4 == 0
                total[row] = 0
    assert losses == pytest.approx(4 * games, abs=8)
    assert games >= 3
    whole.group.close()
    lives.group.close()


def test_rewards_are_clipped_where_they_are_wanted_so() -> None:
    seen = {}
    for clip in (True, False):
        group = recorder("space_invaders", 2, reward_clip=clip)
        group.reset()
        rng = np.random.default_rng(0)
        seen[clip] = np.array([group.step(rng.integers(0, 6, (2, 1))).rewards for _ in range(90)])
        group.group.close()
    np.testing.assert_array_equal(seen[True], np.sign(seen[False]))
    assert seen[False].max() >= 5


def test_the_newest_frame_is_the_last() -> None:
    env = make_env("atari:pong", seed=2)
    before, _ = env.reset()
    assert before.shape == (4, 84, 84)
    assert not before[:3].any()
    for _ in range(5):
        after = env.step(2)[0]
        np.testing.assert_array_equal(after[:-1], before[1:])
        before = after
    env.close()


def test_two_raw_frames_are_pooled_and_scaled_by_area() -> None:
    env = AtariEnv(resolve_task(AtariOptions(backend="gymnasium"), "pong", 0.0), EnvContext(0, 0, 1))
    env.reset()
    for _ in range(30):
        env.step(2)  # until something moves
        if (env._screens[0] != env._screens[1]).any():
            break
    pooled = env._screens.max(0)
    assert (env._screens[0] != env._screens[1]).any()
    rows = [slice(int(i * 2.5), int(np.ceil((i + 1) * 2.5))) for i in range(84)]
    row = next(i for i in range(0, 84, 2) if len(np.unique(pooled[rows[i]])) > 1)
    weights = np.array([1.0, 1.0, 0.5]) / 2.5  # an even row of 84 covers two rows of 210 and half of a third
    left = weights @ pooled[rows[row], 0:2] @ (np.array([1.0, 160 / 84 - 1]) / (160 / 84))
    assert env._stack[-1, row, 0] == pytest.approx(left, abs=0.51)


def test_pictures_are_the_screen_in_colours() -> None:
    env = make_env("atari:breakout", seed=1, render_mode="rgb_array")
    env.reset()
    picture: Any = env.render()
    assert picture.shape == (210, 160, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5
    with pytest.raises(UserError, match="rgb_array"):
        make_env("atari:breakout", render_mode="human")


def test_lives_go_on_in_the_same_game() -> None:
    env = make_env("atari:breakout", seed=1, life_loss=True, backend="gymnasium")
    _, info = env.reset()
    lives = [info["lives"]]
    for _ in range(2000):
        _, _, terminated, _, info = env.step(0 if len(lives) % 2 else 2)
        if terminated:
            lives.append(info["lives"])
            if info["lives"] == 0:
                break
            env.reset()
    assert lives == [5, 4, 3, 2, 1, 0]
    assert info["score"] >= 0
    assert env.reset()[1]["lives"] == 5


def test_a_game_that_ends_as_a_life_begins_costs_no_step_of_the_next() -> None:
    def lost(max_frames: int) -> tuple[Any, int]:
        env = make_env("atari:breakout", seed=1, life_loss=True, max_frames=max_frames)
        env.reset(seed=1)
        steps = 1
        while not env.step(0)[2]:
            steps += 1
        return env, steps

    first, steps = lost(10_000)
    first.close()
    env, _ = lost(4 * (steps + 1))  # truncated by the very action that begins the second life
    env.reset()
    observation = env.step(0)[0]
    assert [bool(frame.any()) for frame in observation] == [False, False, True, True]  # the game's first, and the action's
    env.close()


def test_runs_that_train_on_lives_evaluate_whole_games() -> None:
    options = {"life_loss": True, "max_frames": 2_000}
    evaluation = {"eval_every_frames": 50, "eval_episodes": 1}
    fields = {"env_options": options, "serial": True, "rollout": 16, "batch_size": 32, **evaluation}
    seen: list[dict[str, Any]] = []

    def watch(statistics: Any) -> bool:
        seen.extend(filter(None, [statistics["evaluation"]]))
        return not seen

    with APPO("atari:breakout", num_workers=1, num_envs_per_worker=2, device="cpu", policy_kwargs=fields) as model:
        during = model.train(5_000, callback=watch)
        after = model.evaluate(2)
    assert during.frames < 5_000
    for result in (seen[0], after):
        assert result["lives"] == 0 or result["raw_frames"] >= 2_000, result
        assert result["score"] >= 0
