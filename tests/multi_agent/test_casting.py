"""Who plays what: drawn from the environment's own stream, constant within its episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arl_core.config import RunConfig
from arl_core.envs.group import make_contexts
from arl_core.interfaces import UserError
from arl_core.runtime.policies import casting_of, policies_of
from arl_core.sampling.casting import Casting, CastingSpec


def casting(spec: CastingSpec, environments: int = 3, first: int = 0) -> Casting:
    return Casting(spec, make_contexts(5, first, environments))


def play(made: Casting, steps: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Players [steps, E]; an environment resets now and then, and some of its rows are idle at other times."""
    rng = np.random.default_rng(seed)
    log = []
    for _ in range(steps):
        log.append(made.players.copy())
        valid = rng.random((len(made.players) // 2, 2)) < 0.7
        made.advance(valid.ravel())
        log[-1] = np.stack([log[-1], np.repeat(valid.any(1), 2)])
    return np.array(log)


def test_agents_keep_their_policies() -> None:
    made = casting(CastingSpec(2, (0, 1)))
    assert (play(made, 30)[:, 0] == [0, 1, 0, 1, 0, 1]).all()


def test_players_change_only_where_an_episode_begins() -> None:
    log = play(casting(CastingSpec(3, (0, 1), random=True)), 300)
    changed = log[1:, 0] != log[:-1, 0]
    assert changed.any()
    assert not (changed & log[:-1, 1].astype(bool)).any()
    assert set(np.unique(log[:, 0])) == {0, 1, 2}


def test_in_self_play_one_agent_learns() -> None:
    spec = CastingSpec(2, (0, 1), snapshots_per_policy=3, self_play_fraction=0.4)
    players = play(casting(spec), 3000)[:, 0].reshape(-1, 2)
    frozen = players >= 2
    assert not frozen.all(1).any(), "somebody learns"
    assert frozen.any(1).mean() == pytest.approx(0.4, abs=0.05)
    assert frozen.any(0).all(), "each in turn"
    assert set(np.unique(players[:, 0])) == {0, 2, 3, 4}, "snapshots of its own policy"
    assert set(np.unique(players[:, 1])) == {1, 5, 6, 7}


def test_a_stream_belongs_to_its_environment() -> None:
    spec = CastingSpec(4, (0, 1), random=True)
    together, second = casting(spec, 2), casting(spec, 1, first=1)
    for _ in range(20):
        assert together.players[2:].tolist() == second.players.tolist()
        together.begin([1])
        second.begin([0])


def test_it_goes_on_from_a_saved_state() -> None:
    spec = CastingSpec(2, (0, 1), random=True, snapshots_per_policy=2, self_play_fraction=0.5)
    one, other = casting(spec), casting(spec)
    play(one, 50)
    other.set_state(one.get_state())
    assert (play(one, 50, 1) == play(other, 50, 1)).all()


def cfg(**fields: Any) -> RunConfig:
    return RunConfig(env="game", **fields)


def test_policies_of_agents() -> None:
    agents = ("red", "green", "blue")
    assert policies_of(cfg(num_policies=2), agents) == (0, 1, 0)
    assert policies_of(cfg(num_policies=2, agent_policies={"red": 1, "green": 0}), agents) == (1, 0, 0)
    assert policies_of(cfg(), ()) == (0,)
    assert casting_of(cfg(), agents) is None
    assert casting_of(cfg(self_play_fraction=0.5), agents) == CastingSpec(1, (0, 0, 0), False, 4, 0.5)


@pytest.mark.parametrize(
    ("fields", "agents", "message"),
    [
        ({"num_policies": 2, "agent_policies": {"gren": 1}}, ("red", "green"), r"no agent 'gren'.*'green'.*\(red, green\)"),
        ({"num_policies": 2}, (), "policy 1 plays no agent of 'game'; use fewer"),
        ({"num_policies": 2, "agent_policies": {"green": 0}}, ("red", "green"), "policy 1 plays no agent"),
        ({"self_play_fraction": 0.5}, (), "has one agent, so there is nobody to play against"),
    ],
)
def test_mistakes_are_one_clear_line(fields: dict[str, Any], agents: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        casting_of(cfg(**fields), agents)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_policies": 2, "agent_policies": {"red": 2}}, "'red' has policy 2; num_policies is 2"),
        ({"num_policies": 2, "policy_assignment": "random", "agent_policies": {"red": 1}}, "must be agent, not random"),
        ({"num_policies": 2, "async_rl": False, "batch_size": 1024}, r"need async_rl \(or serial\)"),
        ({"num_policies": 32, "self_play_fraction": 0.1}, "must be at most 127, not 160"),
    ],
)
def test_configurations_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cfg(**fields)


def test_a_population_that_learns_from_each_other_is_refused() -> None:
    with pytest.raises(ValueError, match="with_pbt: policies of one run do not learn from each other: docs/experiments"):
        RunConfig(env="game", num_policies=2, with_pbt=True)
    assert RunConfig(env="game", with_pbt=True).num_policies == 1
