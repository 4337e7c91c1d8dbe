"""Robots: the same as gymnasium's own, saved bit for bit, nothing left in the user's folder."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install arl-plugin-mujoco")

import gymnasium
from arl_plugin_mujoco import plugin
from arl_plugin_mujoco.env import make
from arl_plugin_mujoco.options import MujocoOptions

import arl_core
from arl_core import APPO
from arl_core.interfaces import EnvContext, UserError
from arl_core.registry import resolve_env

IDS = [spec.id for family in plugin.arl_environments() for spec in family.variants]


def build(name: str, render_mode: str | None = None, **options: Any) -> Any:
    context = EnvContext(run_seed=1, index=0, seed=2, render_mode=render_mode)
    return make(options=MujocoOptions(**options), context=context, gym_id=name, max_episode_steps=60)


def play(env: Any, steps: int, seed: int) -> list[Any]:
    """What each step of a random policy gives; an episode that ends is followed by the next."""
    low, high = env.action_space.low, env.action_space.high
    seen = []
    for action in np.random.default_rng(seed).uniform(low, high, (steps, len(low))).astype(np.float32):
        seen.append(env.step(action)[:4])
        if seen[-1][2] or seen[-1][3]:
            seen.append((env.reset()[0],))
    return seen


def assert_equal(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.filterwarnings("ignore:.*is out of date")
@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Ant-v5", "Hopper-v4"])
def test_a_robot_is_gymnasiums_own_step_for_step(name: str) -> None:
    ours = build(name)
    theirs = gymnasium.make(name, max_episode_steps=60)
    assert np.array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    assert_equal(play(ours, 150, seed=1), play(theirs, 150, seed=1))
    ours.close()
    theirs.close()


@pytest.mark.parametrize("name", IDS)
def test_a_saved_robot_goes_on_bit_for_bit(name: str) -> None:
    first, second = build(name), build(name)
    first.reset(seed=5)
    second.reset(seed=6)
    play(first, 7, seed=1)
    saved = {key: np.array(value) for key, value in first.env.get_state().items()}
    second.reset()
    second.env.set_state(saved)
    for env in (first, second):
        env._elapsed_steps = 0  # the time limit is saved by the group
    assert_equal(play(first, 80, seed=2), play(second, 80, seed=2))  # resets and their random numbers too
    with pytest.raises(ValueError, match="model of"):
        second.env.set_state({**saved, "physics": saved["physics"][:-1]})


def test_the_working_directory_stays_clean(tmp_path: Path) -> None:
    code = "import arl_core; env = arl_core.make_env('mujoco:HalfCheetah-v5'); env.reset(); env.unwrapped.data.qpos[2] = 1e20; "
    code += "env.step(env.action_space.sample())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mujoco: Nan, Inf or huge value" in done.stderr
    assert "settotalmass" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_mujocos_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    env = build("Hopper-v5")
    env.reset(seed=0)
    env.unwrapped.data.qvel[:] = 1e20
    with caplog.at_level(logging.WARNING, logger="arl"):
        env.step(env.action_space.sample())
    assert any("huge value" in record.message for record in caplog.records if record.name == "arl.mujoco")


def test_options_reach_the_robot() -> None:
    assert build("Ant-v5", include_cfrc_ext_in_observation=False).observation_space.shape == (27,)
    assert build("Hopper-v5", exclude_current_positions_from_observation=False).observation_space.shape == (12,)
    env = build("Walker2d-v5", terminate_when_unhealthy=False, max_episode_steps=300)
    env.reset(seed=0)
    seen = [env.step(env.action_space.high) for _ in range(300)]
    assert not any(terminated for _, _, terminated, _, _ in seen)
    assert [truncated for *_, truncated, _ in seen] == [False] * 299 + [True]
    with pytest.raises(
        UserError, match=r"mujoco\.healthy_reward: HalfCheetah-v5 has no such option; it has: xml_file, frame_skip"
    ):
        build("HalfCheetah-v5", healthy_reward=2.0)
    with pytest.raises(UserError, match=r"mujoco\.frame_skip: Reacher-v4 has no such option; it has: none of its own"):
        build("Reacher-v4", frame_skip=2)
    with pytest.raises(UserError, match=r"mujoco\.xml_file: /nowhere\.xml"):
        build("HalfCheetah-v5", xml_file="/nowhere.xml")


def rendered(backend: str, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    code = (
        "import arl_core\nfrom arl_core.interfaces import UserError\n"
        "env = arl_core.make_env('mujoco:Hopper-v5', render_mode='rgb_array')\nenv.reset(seed=0)\n"
        "try:\n    image = env.render()\nexcept UserError as error:\n    print('refused:', error)\n"
        "else:\n    print(image.shape, image.dtype, image.std() > 1)\n"
    )
    without_display = {
        key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    }
    environment = without_display | ({"MUJOCO_GL": backend} if backend else {})
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )


def test_pictures_need_no_display(tmp_path: Path) -> None:
    done = rendered("", tmp_path)
    if "refused:" in done.stdout:
        assert "libegl1" in done.stdout
        pytest.skip("no EGL here; the error says what to install")
    assert done.stdout.splitlines()[-1] == "(480, 480, 3) uint8 True"


def test_without_opengl_the_error_says_what_to_install(tmp_path: Path) -> None:
    done = rendered("glfw", tmp_path)  # which needs a display
    assert "refused: mujoco: no picture" in done.stdout
    assert "install libegl1 and set MUJOCO_GL=egl" in done.stdout


def test_render_modes_are_checked() -> None:
    with pytest.raises(UserError, match="no render mode 'ansi'"):
        arl_core.make_env("mujoco:Hopper-v5", render_mode="ansi")


@pytest.mark.slow  # six seconds of training on a free core
def test_the_defaults_learn_to_balance() -> None:
    settings = {"serial": True, "seed": 3, "train_for_env_steps": 40_000}
    with APPO(env="mujoco_pendulum", num_workers=1, num_envs_per_worker=4, policy_kwargs=settings) as model:
        model.train(40_000)
        played = model.evaluate(episodes=5, deterministic=True)
    assert played["return_mean"] > 300  # at first about 6


BARE = (
    '<mujoco><worldbody><body name="b"><joint type="hinge" name="j"/><geom size="1"/></body></worldbody>'
    '<actuator><motor joint="j" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>'
)


def test_a_model_of_ones_own_is_found_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs import mujoco as robots

    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(robots.__file__).parent / "assets" / "ant.xml", tmp_path / "mine.xml")
    options = resolve_env("mujoco:Ant-v5", {"xml_file": "mine.xml"}).options
    assert options["xml_file"] == str(tmp_path / "mine.xml")  # for who goes on from another folder
    build("Ant-v5", xml_file="mine.xml").close()
    (tmp_path / "bare.xml").write_text(BARE, encoding="utf-8")
    with pytest.raises(UserError, match=r"mujoco\.xml_file: \S*bare\.xml: index 1 is out of bounds"):
        build("Ant-v5", xml_file="bare.xml")
