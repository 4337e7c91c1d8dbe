"""Games: the same as minihack's own, reproducible, with true endings."""

import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nle", reason="NetHack is not installed: pip install arl-plugin-minihack")
pytest.importorskip("pkg_resources", reason="minihack needs it: pip install 'setuptools<81'")

import gymnasium
from arl_plugin_minihack.env import MiniHackEnv, make
from arl_plugin_minihack.observe import NO_GLYPH, cropped, drawn
from arl_plugin_minihack.options import MiniHackOptions
from gymnasium.utils.env_checker import check_env

import arl_core
from arl_core.envs.group import build_group, make_contexts
from arl_core.interfaces import EnvContext, StepViews, UserError
from arl_core.registry import resolve_env


def build(name: str = "Room-5x5", render_mode: str | None = None, seed: int = 1, **options: Any) -> MiniHackEnv:
    context = EnvContext(run_seed=seed, index=0, seed=2, render_mode=render_mode)
    return make(options=MiniHackOptions(**options), context=context, gym_id=f"MiniHack-{name}-v0")


def play(env: Any, steps: int, seed: int = 0) -> list[Any]:
    """Observation, reward and ends of each step of a random policy, episodes one after the other."""
    rng = np.random.default_rng(seed)
    seen = [(env.reset(seed=seed)[0],)]
    for action in rng.integers(0, env.action_space.n, steps).tolist():
        seen.append(env.step(action))
        if seen[-1][2] or seen[-1][3]:
            seen.append((env.reset()[0],))
    return seen


@pytest.mark.parametrize("observation", ["glyphs", "crop", "pixel", "pixel_crop"])
def test_gymnasium_accepts_the_environment(observation: str) -> None:
    env = build(observation=observation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
    env.close()


# plain; with monsters; with a reward manager; with a `step` of its own
@pytest.mark.parametrize("name", ["Room-5x5", "River-Monster", "Eat", "KeyRoom-S5"])
def test_a_game_is_minihacks_own_step_for_step(name: str) -> None:
    ours = build(name)
    core, disp = (int(seed) for seed in np.random.default_rng(7).integers(0, 2**31, 2))
    keys = ("glyphs", "glyphs_crop", "blstats", "pixel_crop")
    theirs: Any = gymnasium.make(
        f"MiniHack-{name}-v0", observation_keys=keys, fix_moon_phase=True, disable_env_checker=True
    ).unwrapped
    assert ours.action_space == theirs.action_space
    theirs.seed(core, disp, reseed=False)
    expected, _ = theirs.reset()
    ours.np_random = np.random.default_rng(7)
    seen, _ = ours.reset()
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(90):
        for key in ("glyphs", "blstats"):
            np.testing.assert_array_equal(seen[key], expected[key])
        if not (expected["glyphs_crop"] == 0).any():  # outside the map: see the README
            np.testing.assert_array_equal(seen["glyphs_crop"], expected["glyphs_crop"])
            np.testing.assert_array_equal(drawn(seen["glyphs_crop"], 16), expected["pixel_crop"])
            compared += 1
        action = int(rng.integers(ours.action_space.n))
        expected, *rest, _ = theirs.step(action)
        seen, *ours_rest, _ = ours.step(action)
        assert ours_rest == rest
        if any(rest[1:]):
            break
    assert compared > 3
    ours.close()
    theirs.close()


def test_a_seed_is_a_game_in_any_process() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from test_env import *\n"
        "env = build('Room-Ultimate-15x15', seed=5)\n"
        "digest = hashlib.sha256()\n"
        "for entry in play(env, 250, 3): digest.update(entry[0]['glyphs'].tobytes() + entry[0]['blstats'].tobytes())\n"
        "print(digest.hexdigest())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (run.communicate()[0].split()[-1] for run in runs)
    assert first == second
    assert all(run.returncode == 0 for run in runs)


def test_streams_follow_the_context_and_episodes_differ() -> None:
    def levels(index: int) -> list[bytes]:
        env = make(options=None, context=EnvContext(run_seed=1, index=index, seed=0), gym_id="MiniHack-Room-Random-5x5-v0")
        found = [env.reset()[0]["glyphs"].tobytes() for _ in range(4)]
        env.close()
        return found

    assert levels(0) == levels(0)
    assert levels(0) != levels(1)
    assert len(set(levels(0))) > 2


def test_level_seeds_are_the_only_levels() -> None:
    env = build("Room-Random-15x15", level_seeds=[3, 4])
    assert len({env.reset()[0]["glyphs"].tobytes() for _ in range(12)}) == 2
    env.close()


def test_environments_of_one_process_do_not_meet() -> None:
    alone = [[entry[0]["glyphs"].copy() for entry in play(build("Room-Monster-15x15"), 60, seed)] for seed in (1, 2)]
    envs = [build("Room-Monster-15x15") for _ in range(2)]
    actions = [np.random.default_rng(seed).integers(0, 8, 60).tolist() for seed in (1, 2)]
    together: list[list[Any]] = [[env.reset(seed=seed)[0]["glyphs"]] for env, seed in zip(envs, (1, 2), strict=True)]
    for step in range(60):
        for env, seen, moves in zip(envs, together, actions, strict=True):
            observation, _, terminated, truncated, _ = env.step(moves[step])
            seen.append(observation["glyphs"])
            if terminated or truncated:
                seen.append(env.reset()[0]["glyphs"])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_goal_terminates_and_the_last_observation_shows_it() -> None:
    env = build(render_mode="rgb_array")
    env.reset()
    south_east = next(i for i, action in enumerate(env.game.actions) if action.name == "SE")
    for _ in range(4):  # from corner to corner
        observation, reward, terminated, truncated, info = env.step(south_east)
    assert (reward, terminated, truncated, info) == (1.0, True, False, {"success": 1.0, "death": 0.0})
    assert len(env._trodden) == 5
    x, y = observation["blstats"][:2]
    assert (int(x), int(y)) == env._trodden[-1]
    assert observation["glyphs_crop"][4, 4] == observation["glyphs"][y, x]
    env.close()


def test_a_time_limit_truncates_with_the_true_last_observation() -> None:
    env, free = (build("Room-15x15", max_episode_steps=limit, reward_lose=-0.5) for limit in (3, 100))
    for game in (env, free):
        game.reset(seed=4)
    for step in range(3):
        observation, reward, terminated, truncated, info = env.step(step)
        expected, plain, *_ = free.step(step)
    np.testing.assert_array_equal(observation["glyphs"], expected["glyphs"])
    np.testing.assert_array_equal(observation["blstats"], expected["blstats"])
    assert (terminated, truncated, info) == (False, True, {"success": 0.0, "death": 0.0})
    assert reward == pytest.approx(plain - 0.5)
    for game in (env, free):
        game.close()


def test_options_reach_the_game() -> None:
    env = build(actions="cardinal", reward_win=5.0, penalty_mode="always", penalty_step=-0.25, max_episode_steps=9, crop_size=5)
    assert (env.action_space.n, env.max_episode_steps) == (4, 9)
    env.reset()
    assert env.step(1)[1] == -0.25
    assert env.observation_space["glyphs_crop"].shape == (5, 5)
    assert build().max_episode_steps == 100
    assert build(actions="full").action_space.n > 60


def test_a_crop_has_the_agent_in_the_middle_and_nothing_beyond_the_edge() -> None:
    glyphs = np.arange(21 * 79, dtype=np.int16).reshape(21, 79)
    np.testing.assert_array_equal(cropped(glyphs, 40, 10, 9), glyphs[6:15, 36:45])
    corner = cropped(glyphs, 0, 20, 5)
    assert (corner[:, :2] == NO_GLYPH).all()
    assert (corner[3:] == NO_GLYPH).all()
    np.testing.assert_array_equal(corner[:3, 2:], glyphs[18:, :3])


def test_images_have_their_space_and_smaller_tiles_are_the_mean() -> None:
    assert build(observation="pixel").reset()[0].shape == (84, 316, 3)
    assert build(observation="pixel_crop", tile_size=8).reset()[0].shape == (72, 72, 3)
    glyphs = build().reset()[0]["glyphs"]
    full, half = drawn(glyphs, 16), drawn(glyphs, 8)
    mean = full.reshape(168, 2, 632, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(half, mean, atol=0.51)
    assert drawn(np.array([[NO_GLYPH]], np.int16), 16).max() == 0


def test_pictures() -> None:
    env = build(render_mode="rgb_array")
    env.reset()
    before = env.render()
    env.step(2)
    assert before.shape == (336, 1264, 3)
    assert (env.render() != before).any()
    text = build(render_mode="ansi")
    text.reset()
    assert text.render().count("@") == 1
    with pytest.raises(UserError, match="'rgb_array', 'ansi'"):
        build(render_mode="human")


def test_a_level_of_ones_own(tmp_path: Path) -> None:
    level = tmp_path / "my.des"
    level.write_text('MAZE: "mylevel", \' \'\nFLAGS: noteleport\nGEOMETRY: center,center\nMAP\n.....\nENDMAP\n'
                     "REGION:(0,0,4,0),lit,\"ordinary\"\nBRANCH:(0,0,0,0),(1,0,1,0)\nSTAIR:(4,0),down\n")  # fmt: skip
    env = arl_core.make_env("minihack:Navigation-Custom", des_file=str(level))
    assert env.reset()[0]["glyphs_crop"].shape == (9, 9)
    env.close()
    level.write_text("no level at all\n")
    with pytest.raises(UserError, match="does not compile"):
        arl_core.make_env("minihack:Navigation-Custom", des_file=str(level))


def test_rooms_of_minigrid_follow_the_seed_too() -> None:
    pytest.importorskip("minigrid", reason="MultiRoom needs it: pip install 'arl-plugin-minihack[multiroom]'")
    first, second = (play(build("MultiRoom-N4"), 20, seed=6) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one[0]["glyphs"], other[0]["glyphs"])


def test_boxoban_says_where_its_levels_come_from() -> None:
    with pytest.raises(UserError, match="download_boxoban_levels"):
        build("Boxoban-Medium")


def test_the_process_is_left_as_it_was() -> None:
    folder, handler, state = Path.cwd(), signal.getsignal(signal.SIGHUP), random.getstate()
    env = build()
    play(env, 30)
    env.close()
    assert Path.cwd() == folder
    assert signal.getsignal(signal.SIGHUP) == handler
    assert random.getstate() == state
    ignored = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigIgn"))
    assert not int(ignored.split()[1], 16) & 1  # SIGHUP


def test_a_group_of_many_reports_success() -> None:
    group = build_group(resolve_env("minihack", {"observation": "crop", "max_episode_steps": 5}), make_contexts(0, 0, 24))
    obs = {key: np.zeros((24, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    group.reset_into(obs)
    views = StepViews(obs, np.zeros(24, np.float32), *np.zeros((3, 24), bool))
    successes: list[float] = []
    rng = np.random.default_rng(0)
    for _ in range(12):
        group.send(rng.integers(0, 8, (24, 1)))
        ends = group.recv_into(views)
        if ends is not None:
            successes += ends.metrics["success"].tolist()
    assert len(successes) >= 48
    assert set(successes) <= {0.0, 1.0}
    group.close()


@pytest.mark.parametrize("observation", ["glyphs", "crop", "pixel", "pixel_crop"])
def test_a_run_trains_on_every_observation(observation: str, tmp_path: Path) -> None:
    options = {"num_workers": 1, "num_envs_per_worker": 2, "rollout": 8, "batch_size": 16, "num_batches_per_iteration": 1}
    options |= {"serial": True, "use_rnn": True, "hidden_size": 16, "env_options": {"observation": observation}}
    with arl_core.APPO(env="minihack", policy_kwargs={**options, "train_dir": str(tmp_path)}) as model:
        before = model.get_parameters()[0]
        model.train(64)
        after = model.get_parameters()[0]
    assert any((after[name] != value).any() for name, value in before.items() if "encoder" in name)
