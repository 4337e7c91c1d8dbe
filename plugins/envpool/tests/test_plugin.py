"""The plugin as the core and its users see it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arl_plugin_envpool import plugin
from arl_plugin_envpool.pool import import_envpool, pool_seed
from gymnasium import spaces

from arl_core.interfaces import UserError
from arl_core.registry import make_env, resolve_env

ENVPOOL = "EnvPool is not installed: pip install arl-plugin-envpool"


def test_every_spelling_means_the_same_environment() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    assert resolve_env("envpool_CartPole-v1") == resolve_env("envpool:CartPole-v1")
    assert resolve_env("envpool_CartPole-v1").kwargs == {"task_id": "CartPole-v1"}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("CartPole-v2", {}, "no environment 'envpool:CartPole-v2'. Did you mean 'envpool:CartPole-v"),
        ("CartPole-v1", {"max_episode_step": 3}, "has no option 'max_episode_step'. Did you mean 'max_episode_steps'"),
        ("CartPole-v1", {"num_envs": 3}, "'num_envs' is set by arl"),
        ("CartPole-v1", {"max_episode_steps": "x"}, "max_episode_steps of CartPole-v1 is int, such as 500; got 'x'"),
    ],
)
def test_mistakes_are_named_in_one_line(name: str, arguments: dict[str, Any], says: str) -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    with pytest.raises(UserError) as caught:
        make_env(f"envpool:{name}", arguments=arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(UserError, match="pip install arl-plugin-envpool"):
        import_envpool()


def test_actions_without_bounds_may_be_negative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Doom's buttons that are turned by an amount: EnvPool says from the smallest positive double on."""
    pytest.importorskip("envpool", reason=ENVPOOL)
    monkeypatch.chdir(tmp_path)  # EnvPool's Doom leaves its settings where it is started
    env = make_env("envpool:D1Basic-v1")
    space = env.action_space
    assert isinstance(space, spaces.Box)
    assert np.isneginf(space.low).all()
    assert np.isposinf(space.high).all()
    env.reset()
    assert env.observation_space.contains(env.step(np.array([-1.0, 0.0, 1.0]))[0])
    env.close()


def test_bounds_are_those_that_are_meant() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    env = make_env("envpool:CheetahRun-v1", seed=1)
    assert isinstance(env.observation_space, spaces.Dict)
    position = env.observation_space["position"]
    assert isinstance(position, spaces.Box)
    assert np.isneginf(position.low).all()
    assert np.isposinf(position.high).all()
    assert env.observation_space.contains(env.reset()[0])
    env.close()


def test_it_is_drawn() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    env = make_env("envpool:Pong-v5", seed=1, render_mode="rgb_array")
    env.reset()
    picture: Any = env.render()
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert len(np.unique(picture)) > 2
    env.close()
    with pytest.raises(UserError, match="rgb_array"):
        make_env("envpool:Pong-v5", render_mode="human")


def test_seeds_of_any_size_fit() -> None:
    assert pool_seed(0) == 1
    assert 1 <= pool_seed(2**63) < 2**31


def test_the_list_says_which_part_of_envpool_has_an_id() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    from arl_plugin_envpool.ids import list_ids

    known = list_ids()
    assert known["CartPole-v1"] == "classic_control"
    assert known["HalfCheetah-v4"] == "mujoco gym"
    assert len(known) > 1000


def test_param_overrides() -> None:
    assert plugin.arl_param_overrides("envpool:Pong-v5", "appo") == {"num_envs_per_worker": 32}
    cartpole = plugin.arl_param_overrides("envpool:CartPole-v1", "appo")
    assert cartpole is not None
    assert cartpole["reward_scale"] == 0.1


def test_an_id_whose_files_are_missing_is_one_line() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    with pytest.raises(UserError, match=r"VizdoomCustom-v1 cannot be made with its defaults: [^\n]*does not exist[^\n]*$"):
        make_env("envpool:VizdoomCustom-v1")


def test_options_that_are_tuples_take_lists() -> None:
    pytest.importorskip("envpool", reason=ENVPOOL)
    env = make_env("envpool:MiniGrid-Empty-5x5-v0", seed=1, arguments={"agent_start_pos": [2, 2]})
    env.reset()
    env.close()
    with pytest.raises(UserError, match=r"agent_start_pos of MiniGrid-Empty-5x5-v0 is tuple"):
        make_env("envpool:MiniGrid-Empty-5x5-v0", arguments={"agent_start_pos": 2})
