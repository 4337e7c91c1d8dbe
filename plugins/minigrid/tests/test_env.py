"""Games: reproducible, savable, with missions as numbers and true endings."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("minigrid", reason="minigrid is not installed: pip install arl-plugin-minigrid")

from arl_plugin_minigrid import mission
from arl_plugin_minigrid.env import MiniGrid, make
from arl_plugin_minigrid.ids import IDS
from arl_plugin_minigrid.options import MiniGridOptions
from gymnasium.utils.env_checker import check_env

import arl_core
from arl_core.interfaces import EnvContext, UserError


def build(name: str = "MiniGrid-DoorKey-5x5-v0", render_mode: str | None = None, index: int = 0, **options: Any) -> MiniGrid:
    context = EnvContext(run_seed=1, index=index, seed=2, render_mode=render_mode)
    return make(options=MiniGridOptions(**options), context=context, gym_id=name)


def play(env: MiniGrid, steps: int, seed: int = 0) -> list[Any]:
    """What a random policy sees, episodes one after the other."""
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    for action in rng.integers(0, 6, steps).tolist():
        observation, *results = env.step(action)
        seen.append((observation["image"].tobytes(), observation["direction"], *results))
        if results[1] or results[2]:
            seen.append(env.reset()[0]["image"].tobytes())
    return seen


@pytest.mark.parametrize("observation", ["view", "full", "pixels"])
@pytest.mark.parametrize("told", ["none", "words", "tokens"])
def test_gymnasium_accepts_the_environment(observation: str, told: str) -> None:
    env = build("BabyAI-GoToLocal-v0", observation=observation, mission=told)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_streams_follow_the_context_and_episodes_differ() -> None:
    def levels(index: int) -> list[bytes]:
        env = build("MiniGrid-MultiRoom-N6-v0", index=index, observation="full")
        return [env.reset()[0]["image"].tobytes() for _ in range(4)]

    assert levels(0) == levels(0)
    assert levels(0) != levels(1)
    assert len(set(levels(0))) == 4


def test_a_seed_is_a_game_in_any_process() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); from test_env import *\n"
        "env = build('BabyAI-BossLevel-v0'); env.reset(seed=5)\n"
        "print(hashlib.sha256(repr(play(env, 200)).encode()).hexdigest())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parent)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (run.communicate()[0].split()[-1] for run in runs)
    assert first == second
    assert all(run.returncode == 0 for run in runs)


@pytest.mark.parametrize(
    "name", ["MiniGrid-DoorKey-5x5-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0", "BabyAI-PutNextS5N2Carrying-v0"]
)
def test_a_saved_state_goes_on_exactly(name: str) -> None:
    env = build(name, max_steps=60)
    env.reset()
    low = [a % 3 for a in range(40)]
    for action in low:  # into the middle of an episode, past the end of others
        if any(env.step(action)[2:4]):
            env.reset()
    state = env.get_state()
    expected = play(env, 200) if env.action_space.n == 7 else [env.step(0)[0]["image"].tobytes()]
    other = build(name, index=3, max_steps=60)
    other.set_state(state)
    again = play(other, 200) if env.action_space.n == 7 else [other.step(0)[0]["image"].tobytes()]
    assert again == expected


def test_endings() -> None:
    env = build("MiniGrid-Empty-5x5-v0")
    env.reset()
    for action in (2, 2, 1, 2):
        assert env.step(action)[2:] == (False, False, {})
    _, reward, terminated, truncated, info = env.step(2)
    assert (terminated, truncated, info) == (True, False, {"success": 1.0})
    assert reward == pytest.approx(1 - 0.9 * 5 / 100)
    env = build("MiniGrid-Empty-5x5-v0", max_steps=3)
    env.reset()
    results = [env.step(0) for _ in range(3)][-1]
    assert results[1:] == (0.0, False, True, {"success": 0.0})


def test_a_time_limit_of_ones_own_stays_in_babyai() -> None:
    env = build("BabyAI-GoToRedBall-v0", max_steps=4)
    for _ in range(3):
        env.reset()
        assert [env.step(0)[3] for _ in range(4)] == [False, False, False, True]


def test_a_collision_is_no_success() -> None:
    env = build("MiniGrid-Dynamic-Obstacles-5x5-v0")
    env.reset()
    ends = []
    for _ in range(300):
        _, reward, terminated, truncated, info = env.step(2)
        if terminated or truncated:
            ends.append((reward, info["success"]))
            env.reset()
    assert (-1.0, 0.0) in ends


def test_missions_are_told_where_they_are_the_task() -> None:
    assert set(build().observation_space.spaces) == {"image", "direction"}
    env = build("MiniGrid-GoToDoor-5x5-v0")
    words = env.reset()[0]["mission"]
    named = {word for word, there in zip(mission.VOCABULARY, words, strict=True) if there}
    assert named == set(mission.words_of(env.game.mission)) >= {"go", "to", "the", "door"}
    assert set(build("MiniGrid-GoToDoor-5x5-v0", mission="none").observation_space.spaces) == {"image", "direction"}


@pytest.mark.parametrize("read", [mission.bag, mission.tokens])
def test_who_writes_to_a_mission_does_not_change_it_for_others(read: Any) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read("go to the door")[0] = 7


def test_tokens_are_the_words_in_their_order() -> None:
    read = mission.tokens("Open the red door, then open the zebra")
    words = [mission.VOCABULARY[token - 2] if token > 1 else "?" for token in read.tolist() if token]
    assert words == ["open", "the", "red", "door", "then", "open", "the", "?"]
    assert len(read) == mission.MAX_WORDS
    longest = " and ".join(["put the grey box in front of you next to the grey box in front of you"] * 2)
    assert mission.tokens(f"{longest} after you {longest}").all()  # exactly all of them


def test_the_vocabulary_has_every_word() -> None:
    unknown = set()
    for gym_id in IDS:
        if "WFC" in gym_id:
            continue
        env = build(gym_id)
        for _ in range(4):
            env.reset()
            unknown |= set(mission.words_of(env.game.mission)) - set(mission.VOCABULARY)
    assert not unknown


def test_pictures() -> None:
    env = build(render_mode="rgb_array")
    env.reset()
    assert env.render().shape == (160, 160, 3)
    assert build().render() is None
    with pytest.raises(UserError, match="render mode"):
        build(render_mode="human")


def test_levels_that_babyai_rejects_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    env = build("BabyAI-UnblockPickup-v0")
    for _ in range(5):
        env.reset()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [{}, {"observation": "full"}, {"observation": "pixels"}, {"mission": "tokens"}])
def test_a_run_trains_on_every_observation(options: dict[str, Any], tmp_path: Path) -> None:
    given = {"num_workers": 1, "num_envs_per_worker": 2, "rollout": 8, "batch_size": 16, "num_batches_per_iteration": 1}
    given |= {"serial": True, "use_rnn": True, "hidden_size": 16, "env_options": options, "train_dir": str(tmp_path)}
    with arl_core.APPO(env="BabyAI-GoToLocal-v0", policy_kwargs=given) as model:
        before = model.get_parameters()[0]
        model.train(64)
        after = model.get_parameters()[0]
    assert any((after[name] != value).any() for name, value in before.items() if "encoder" in name)
