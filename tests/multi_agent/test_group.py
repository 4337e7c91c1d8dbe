"""Agents as rows: what a group of parallel environments writes, against a plain loop over agents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agent_envs import Parallel, Staggered, Unequal
from gymnasium import spaces

from arl_core.envs.faults import EnvironmentFault
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import build_any, build_env
from arl_core.envs.multi_agent import MultiAgentGroup, is_parallel
from arl_core.interfaces import EnvContext, StepViews, UserError
from arl_core.registry import resolve_env


def views_of(group: MultiAgentGroup) -> StepViews:
    rows = group.num_envs
    junk = {key: np.full((rows, *spec.shape), 77, spec.dtype) for key, spec in group.obs_specs.items()}
    return StepViews(junk, np.full(rows, 7.0, np.float32), *np.ones((3, rows), bool))


def group_of(env: type[Parallel], count: int = 2, limit: int | None = None) -> MultiAgentGroup:
    return MultiAgentGroup([env() for _ in range(count)], make_contexts(0, 0, count), "test", limit)


def naive(env: Any, actions: Any, steps: int) -> list[dict[str, Any]]:
    """What each agent lives through: {agent: (observation after, reward, terminated, truncated)} of every step; {} of a
    reset."""
    env.reset(seed=0)
    log = []
    for t in range(steps):
        if not env.agents:
            observations, _ = env.reset()
            log.append({"reset": observations})
            continue
        acted = list(env.agents)
        result = env.step({agent: actions[t, env.possible_agents.index(agent)] for agent in acted})
        log.append({agent: tuple(part[agent] for part in result[:4]) for agent in acted})
        log[-1]["new"] = {agent: result[0][agent] for agent in env.agents if agent not in acted}
    return log


@pytest.mark.parametrize("env", [Parallel, Staggered])
def test_rows_are_what_each_agent_lives_through(env: type[Parallel]) -> None:
    steps, agents = 40, env.possible_agents
    actions = np.random.default_rng(0).integers(0, 2, (steps, len(agents)))
    expected = naive(env(), actions, steps)
    group = group_of(env, 2)
    views = views_of(group)
    group.reset_into(views.obs)
    for t in range(steps):
        group.send(np.tile(actions[t], 2)[:, None])
        views.obs["obs"][:] = 77
        ends = group.recv_into(views)
        for environment in range(2):
            for number, agent in enumerate(agents):
                row = environment * len(agents) + number
                said = expected[t].get(agent)
                assert views.valid[row] == (said is not None)
                if said is not None:
                    np.testing.assert_array_equal(views.obs["obs"][row], said[0])
                    assert views.rewards[row] == pytest.approx(said[1])
                    assert (views.terminated[row], views.truncated[row]) == said[2:]
                else:
                    assert (views.rewards[row], views.terminated[row], views.truncated[row]) == (0.0, False, False)
                    begins = expected[t].get("reset", expected[t].get("new", {})).get(agent, np.zeros(3))
                    np.testing.assert_array_equal(views.obs["obs"][row], begins)
        done = np.flatnonzero(views.terminated | views.truncated)
        assert (ends.rows.tolist() if ends is not None else []) == done.tolist()
    group.close()


def test_a_time_limit_truncates_every_agent() -> None:
    group = group_of(Staggered, 1, limit=3)
    views = views_of(group)
    group.reset_into(views.obs)
    seen = []
    for _ in range(4):
        group.send(np.zeros((3, 1), np.int64))
        group.recv_into(views)
        seen.append((views.valid.tolist(), views.terminated.tolist(), views.truncated.tolist()))
    yes, no = True, False
    assert seen[1] == ([yes, yes, no], [no, yes, no], [no, no, no])
    assert seen[2] == ([yes, no, yes], [no, no, no], [yes, no, yes])
    assert seen[3] == ([no, no, no], [no, no, no], [no, no, no])


def test_it_goes_on_bit_for_bit_from_a_saved_state() -> None:
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 2, (30, 6, 1))
    one, other = group_of(Staggered), group_of(Staggered)
    views, again = views_of(one), views_of(other)
    one.reset_into(views.obs)
    other.reset_into(again.obs)
    for t in range(30):
        if t == 11:
            state = one.get_state()
            assert state is not None
            other.set_state(state)
        one.send(actions[t])
        one.recv_into(views)
        if t >= 11:
            other.send(actions[t])
            other.recv_into(again)
            for mine, theirs in zip(views[1:], again[1:], strict=True):
                np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(views.obs["obs"], again.obs["obs"])
    with pytest.raises(ValueError, match="not one of 3 environments of 3 agents"):
        group_of(Staggered, 3).set_state(state)


def test_spaces_that_differ_are_one_clear_error() -> None:
    with pytest.raises(
        UserError, match=r"'test': agents must have equal spaces, but the action space of 'a' is .*'b'.*pad them"
    ):
        group_of(Unequal)


def broken(**methods: Any) -> type[Parallel]:
    return type("Broken", (Parallel,), methods)


def leaves(self: Any, actions: Any) -> Any:
    result = Parallel.step(self, actions)
    self.agents = ["a"]
    return result


def forgets(self: Any, actions: Any) -> Any:
    observations, *others = Parallel.step(self, actions)
    return ({"a": observations["a"]}, *others)


def grows(self: Any, agent: str) -> Any:
    return np.zeros(4 if self.t else 3, np.float32)


def stays(self: Any, actions: Any) -> Any:
    observations, rewards, _, truncations, infos = Parallel.step(self, actions)
    self.agents = ["a", "b"]
    return observations, rewards, {"a": False, "b": True}, truncations, infos


def stranger(self: Any, actions: Any) -> Any:
    result = Parallel.step(self, actions)
    self.agents = ["a", "b", "z"]
    return result


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (broken(step=leaves), "agent 'b' is no more among the agents, but has neither terminated nor truncated"),
        (broken(step=stays), "agent 'b' has terminated or truncated and is still among the agents: leave it out"),
        (broken(step=forgets), "agent 'b' acted and has no observation"),
        (broken(observe=grows), r"agent 'a': observation 'obs' has shape \(4,\)"),
        (broken(step=stranger), "agent 'z' is not among possible_agents"),
        (broken(step=lambda self, actions: None), r"step\(\) must return"),
        (broken(rewards=lambda self, actions: dict.fromkeys("ab", "much")), "the reward of agent 'a' is 'much'"),
        (broken(first_agents=lambda self: []), "left no agents"),
    ],
)
def test_a_broken_contract_names_the_agent(env: type[Parallel], message: str) -> None:
    group = group_of(env)
    views = views_of(group)
    with pytest.raises(EnvironmentFault, match=rf"environment 0 \(worker 0, seed \d+\) failed in .*{message}"):  # noqa: PT012
        group.reset_into(views.obs)
        group.send(np.zeros((4, 1), np.int64))
        group.recv_into(views)


def test_a_name_leads_to_a_group_of_agents() -> None:
    resolved = resolve_env("py:agent_envs:Staggered")
    context = EnvContext(0, 0, 0)
    assert is_parallel(build_any(resolved, context))
    beats: list[int] = []
    group = build_group(resolved, make_contexts(0, 0, 2), lambda: beats.append(1))
    assert isinstance(group, MultiAgentGroup)
    assert (group.num_envs, group.agents) == (6, ("a", "b", "c"))
    group.reset_into(views_of(group).obs)
    assert len(beats) == 2 + 2, "environments made, and reset"
    with pytest.raises(UserError, match=r"has several agents, where a gymnasium.Env is wanted"):
        build_env(resolved, context)
    with pytest.raises(UserError, match="wrappers of gymnasium environments do not fit it"):
        build_any(resolve_env("py:agent_envs:Staggered", {}, [{"name": "reward-clip", "options": {}}]), context)
    with pytest.raises(UserError, match=r"take turns \(AEC\); pettingzoo.utils.conversions.aec_to_parallel"):
        build_any(resolve_env("py:agent_envs:TakesTurns"), context)


def test_an_environment_may_have_nothing_to_close() -> None:
    class Plain(Parallel):
        def __getattribute__(self, name: str) -> Any:
            if name == "close":
                raise AttributeError(name)
            return super().__getattribute__(name)

    group = group_of(Plain)
    group.close()
    assert group.envs == []


def test_rows_of_absent_agents_are_values_that_a_network_can_encode() -> None:
    class Classes(Staggered):
        both = spaces.Dict({"n": spaces.Discrete(3, start=4), "m": spaces.MultiDiscrete([2, 2], start=[5, 6])})

        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return self.both

        def observe(self, agent: str) -> Any:
            return {"n": 6, "m": np.array([6, 7])}

    group = group_of(Classes, 1)
    views = views_of(group)
    group.reset_into(views.obs)
    assert views.obs["n"].tolist() == [6, 6, 4]  # c comes later
    assert views.obs["m"].tolist() == [[6, 7], [6, 7], [5, 6]]
    for _ in range(3):
        group.send(np.zeros((3, 1), np.int64))
        group.recv_into(views)
    assert views.valid.tolist() == [True, False, True]  # b has ended
    assert views.obs["n"].tolist() == [6, 4, 6]
    assert views.obs["m"].tolist() == [[6, 7], [5, 6], [6, 7]]


def test_observations_of_parts() -> None:
    class Parts(Parallel):
        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return self.both

        both = spaces.Dict({"x": Parallel.obs_space, "n": spaces.Discrete(5)})

        def observe(self, agent: str) -> Any:
            return {"x": super().observe(agent), "n": self.possible_agents.index(agent) + 3}

    group = group_of(Parts)
    views = views_of(group)
    group.reset_into(views.obs)
    assert views.obs["n"].tolist() == [3, 4, 3, 4]
