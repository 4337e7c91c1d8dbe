"""PettingZoo's environments as arl steps them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from arl_plugin_pettingzoo import modules
from arl_plugin_pettingzoo.modules import listed

from arl_core.cli.main import main
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import build_any
from arl_core.envs.multi_agent import MultiAgentGroup
from arl_core.interfaces import EnvContext, StepViews, UserError
from arl_core.registry import resolve_env

CONTEXT = EnvContext(0, 0, 0)


def built(variant: str, **options: Any) -> Any:
    return build_any(resolve_env(f"pettingzoo:{variant}", options), CONTEXT)


def test_names_and_mistakes() -> None:
    assert listed()["mpe/simple_spread_v3"] == "mpe2"
    assert "classic/connect_four_v3" in listed()
    with pytest.raises(UserError, match="Did you mean 'mpe/simple_spread_v3'"):
        resolve_env("pettingzoo:mpe/simple_spred_v3")
    with pytest.raises(UserError, match="unexpected keyword argument 'M'"):
        built("mpe/simple_spread_v3", constructor={"M": 3})


def test_what_cannot_be_built_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"simple_spread_v3 cannot be made with {'N': 0}: [^\n]+$"):
        built("mpe/simple_spread_v3", constructor={"N": 0})
    monkeypatch.setitem(sys.modules, "pettingzoo.classic.chess_v6", None)  # importing it says that it is not there
    with pytest.raises(UserError, match=r"pip install 'pettingzoo\[classic\]'"):
        built("classic/chess_v6")
    monkeypatch.setitem(sys.modules, "mpe2.simple_v3", None)
    with pytest.raises(UserError, match=r"mpe2\.simple_v3.*pip install arl-plugin-pettingzoo"):
        built("mpe/simple_v3")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(modules.PACKAGES, "mpe", "mpe2_is_not_here")
    with pytest.raises(UserError, match="mpe2_is_not_here is missing: pip install arl-plugin-pettingzoo"):
        resolve_env("pettingzoo")


def test_the_constructor_s_own_options() -> None:
    env = built("mpe/simple_spread_v3", constructor={"N": 5, "max_cycles": 7})
    assert len(env.possible_agents) == 5
    env.close()


def test_agents_of_different_spaces_are_padded() -> None:
    """simple_tag: 3 adversaries see 16 numbers, the agent 14. simple_speaker_listener: 3 and 5 actions."""
    env = built("mpe/simple_tag_v3")
    observations, _ = env.reset(seed=1)
    assert {agent: observations[agent].shape for agent in env.possible_agents} == dict.fromkeys(env.possible_agents, (16,))
    assert (observations["agent_0"][14:] == 0).all()
    env.close()
    env = built("mpe/simple_speaker_listener_v4")
    observations, _ = env.reset(seed=1)
    assert observations["speaker_0"]["action_mask"].tolist() == [1, 1, 1, 0, 0]
    assert observations["listener_0"]["action_mask"].tolist() == [1] * 5
    assert env.observation_space("speaker_0").contains(observations["speaker_0"])
    env.step({"speaker_0": 4, "listener_0": 4})
    env.close()
    with pytest.raises(UserError, match=r"agents must have equal spaces.*'adversary_0'.*'agent_0'"):
        build_group(resolve_env("pettingzoo:mpe/simple_tag_v3", {"pad": False}), make_contexts(0, 0, 1))


def test_a_board_game_is_played_in_turns() -> None:
    group = build_group(resolve_env("pettingzoo:classic/connect_four_v3"), make_contexts(0, 0, 2))
    assert isinstance(group, MultiAgentGroup)
    rows = group.num_envs
    obs = {key: np.zeros((rows, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    views = StepViews(obs, np.zeros(rows, np.float32), *np.zeros((3, rows), bool))
    group.reset_into(obs)
    rng = np.random.default_rng(0)
    returns, ended = np.zeros(rows), 0
    for _ in range(200):
        masks = obs["action_mask"].astype(float)
        assert (masks.reshape(2, 2, 7).any(2).sum(1) <= 1).all(), "one of the two has a move"
        masks[masks.sum(1) == 0] = 1.0
        actions = np.array([[rng.choice(7, p=mask / mask.sum())] for mask in masks])
        group.send(actions)
        group.recv_into(views)
        returns += views.rewards
        ended += int(views.terminated.sum())
    assert ended >= 8
    assert abs(returns).sum() > 0
    assert returns.reshape(2, 2).sum(1).tolist() == [0.0, 0.0], "who wins, and who loses"
    group.close()


def test_a_team_trains() -> None:
    from arl_core import APPO

    fields = {"serial": True, "batch_size": 600, "rollout": 25}
    with APPO(env="pettingzoo", num_workers=1, num_envs_per_worker=4, policy_kwargs=fields) as model:
        assert model.train(2_000) == 0
        assert model._trainer.engine.balance().exact
        assert model.evaluate(2)["length_mean"] == 25


def test_the_end_of_an_episode_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = "run --env pettingzoo:classic/connect_four_v3 --serial true --device cpu --num-workers 1 --num-envs-per-worker 2"
    assert main([*run.split(), "--train-for-env-steps", "500", "--train-dir", str(tmp_path), "--experiment", "four"]) == 0
    picture = tmp_path / "four.png"
    assert main(["eval", str(tmp_path / "four"), "--episodes", "1", "--picture", str(picture)]) == 0
    assert "picture" in capsys.readouterr().out
    pixels = pygame.surfarray.array3d(pygame.image.load(str(picture)))
    env: Any = build_any(resolve_env("pettingzoo:classic/connect_four_v3"), replace(CONTEXT, render_mode="rgb_array"))
    env.reset(seed=0)
    empty = env.render()
    assert pixels.shape == (empty.shape[1], empty.shape[0], 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > len(np.unique(empty.reshape(-1, 3), axis=0))  # discs
