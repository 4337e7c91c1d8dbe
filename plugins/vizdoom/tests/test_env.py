"""Games: reproducible, side by side, and gone when we are gone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("vizdoom", reason="ViZDoom is not installed: pip install arl-plugin-vizdoom")

import arl_core
from arl_core.cli.main import main
from arl_core.envs.group import make_contexts
from arl_core.interfaces import UserError, load_object
from arl_core.registry import resolve_env


def build(variant: str = "basic", **options: Any) -> Any:
    resolved = resolve_env(f"vizdoom:{variant}", options)
    model = load_object(str(resolved.options_model))(**options)
    (context,) = make_contexts(1, 0, 1)
    return load_object(resolved.maker)(options=model, context=context, **resolved.kwargs)


def play(env: Any, seed: int, steps: int = 90) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    seen = [(env.reset(seed=seed)[0].tobytes(),)]
    for action in rng.integers(0, env.action_space.n, steps).tolist():
        obs, *rest = env.step(action)
        seen.append((obs.tobytes(), *rest))
        if rest[1] or rest[2]:
            seen.append((env.reset()[0].tobytes(),))
    return seen


def test_a_seed_is_a_course_of_events_also_side_by_side() -> None:
    one, other = build(), build()
    first = play(one, 7)
    assert play(other, 7) == first  # `one` has a process of its own beside it
    assert play(one, 7) == first
    assert play(one, 8) != first
    one.close()
    other.close()
    one.close()


def test_timeouts_truncate_and_the_monsters_death_terminates() -> None:
    env = build()
    env.reset(seed=1)
    truncated, steps = False, 0
    while not truncated:
        observation, reward, terminated, truncated, _ = env.step(0)
        assert reward >= -4
        assert not terminated
        steps += 1
    assert steps in (72, 75)  # 300 tics, four a step, with or without the first 14
    assert observation.any()  # the last screen, not a black one
    endings = [moment[1:4] for moment in play(env, 3, 600) if len(moment) > 1 and moment[2]]
    assert endings
    assert all(reward > 80 and not truncated for reward, _, truncated in endings)
    env.close()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (120, 160, 3)),
        ({"resolution": "320x240", "grayscale": True}, (240, 320, 1)),
    ],
)
def test_screens(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    env = build(**options)
    assert env.reset(seed=1)[0].shape == env.observation_space.shape == shape
    env.close()


def test_game_variables_and_combined_buttons() -> None:
    env = build("basic", game_variables=True, actions="combined")
    observation, _ = env.reset(seed=1)
    ammunition = observation["game_variables"]
    assert (ammunition.shape, observation["screen"].shape) == ((1,), (120, 160, 3))
    for _ in range(10):
        observation, *_ = env.step(np.array([1, 0, 1]))
    assert 0 <= observation["game_variables"][0] < ammunition[0]
    env.close()


def test_the_default_network_takes_game_variables(tmp_path: Path) -> None:
    options = ["--vizdoom.game_variables", "true", "--serial", "true", "--device", "cpu", "--train_dir", str(tmp_path)]
    sizes = ["--train_for_env_steps", "32", "--num_envs_per_worker", "2", "--rollout", "8", "--batch_size", "16"]
    assert main(["run", "--env", "vizdoom:basic", *options, *sizes]) == 0


def test_images_are_resized_by_the_cores_wrappers() -> None:
    env = arl_core.make_env("vizdoom:basic")
    assert env.reset()[0].shape == (3, 36, 48)
    env.close()


@pytest.mark.parametrize(
    ("variant", "options", "told"),
    [
        ("custom", {}, r"needs a scenario: --vizdoom\.config"),
        ("custom", {"config": "nowhere.cfg"}, "there is no file nowhere.cfg"),
        ("basic", {"config": "x.cfg"}, "basic has its own scenario"),
        ("basic", {"frameskip": 4}, "frame_skip"),
        ("take_cover", {"skill": 6}, "skill"),
    ],
)
def test_wrong_options_are_told(variant: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        arl_core.make_env(f"vizdoom:{variant}", **options)


def test_a_scenario_of_ones_own(tmp_path: Path) -> None:
    import vizdoom

    basic = Path(vizdoom.scenarios_path) / "basic.cfg"
    mine = tmp_path / "mine.cfg"
    mine.write_text(basic.read_text(encoding="utf-8").replace("ATTACK", ""), encoding="utf-8")
    with pytest.raises(UserError, match=r"no scenario: File .*basic\.wad"):
        arl_core.make_env("vizdoom:custom", config=str(mine))
    shutil.copy(basic.with_suffix(".wad"), tmp_path)
    env = arl_core.make_env("vizdoom:custom", config=str(mine))
    assert env.action_space.n == 3
    env.close()


def named(pid: int) -> list[str]:
    """What the process has mapped that still has a name in /dev/shm."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "/dev/shm/ViZDoom" in line and not line.endswith("(deleted)")]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux kills a game with its parent")
def test_nothing_is_left_after_kill_9(tmp_path: Path) -> None:
    code = (
        "import arl_core, time\n"
        "envs = [arl_core.make_env('vizdoom:basic') for _ in range(2)]\n"
        "[env.reset() for env in envs]\n"
        "print('up', flush=True); time.sleep(60)\n"
    )
    run = [sys.executable, "-c", code]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(run, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    games = psutil.Process(process.pid).children(recursive=True)
    assert len(games) == 2
    assert "/dev/shm/ViZDoom" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
    assert [name for pid in (process.pid, *(game.pid for game in games)) for name in named(pid)] == []
    assert list(tmp_path.iterdir()) == []
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    _, alive = psutil.wait_procs(games, timeout=5)
    assert alive == []


def test_closing_ends_the_games_process() -> None:
    others = psutil.Process().children(recursive=True)
    env = build()
    (game,) = [child for child in psutil.Process().children(recursive=True) if child not in others]
    env.close()
    until = time.monotonic() + 5
    while game.is_running() and game.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.05)
    assert not game.is_running() or game.status() == psutil.STATUS_ZOMBIE
