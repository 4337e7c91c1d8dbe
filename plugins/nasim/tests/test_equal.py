"""Step for step what nasim itself does, and what the two implementations do alike."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("nasim", reason="NASim is not installed: pip install arl-plugin-nasim")

from arl_plugin_nasim.env import NASimEnv
from arl_plugin_nasim.group import NASimGroup
from arl_plugin_nasim.options import NASimOptions
from arl_plugin_nasim.plugin import _FIXED, _GENERATED
from arl_plugin_nasim.scenario import load_scenario
from arl_plugin_nasim.task import Play, resolve_task
from nasim.envs import NASimEnv as NasimsOwn

from arl_core.envs.group import make_contexts
from arl_core.interfaces import StepViews

ONE = np.zeros(1, np.intp)


def arrays(task: Any, count: int) -> dict[str, Any]:
    space = task.observation_space()
    return {key: np.full((count, *part.shape), 7, part.dtype) for key, part in space.spaces.items()}


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ["tiny-hard", "small", "medium-multi-site", "small-gen-rgoal", "pocp-1-gen"])
def test_an_attack_is_nasims_own_step_for_step(name: str, full: bool, flat: bool) -> None:
    options = NASimOptions(fully_obs=full, remember=False, flat_actions=flat, flat_obs=flat)
    task = resolve_task(options, benchmark=name)
    theirs = NasimsOwn(load_scenario(options, benchmark=name), full, flat, flat)
    assert task.observation_space()["obs"] == theirs.observation_space
    assert task.action_space().shape == theirs.action_space.shape
    play, obs = Play(task, 1), arrays(task, 1)
    play.begin(ONE, obs)
    np.testing.assert_array_equal(obs["obs"][0], theirs.reset()[0])
    rng, successes = np.random.default_rng(0), 0
    for moment in range(700):
        if flat:  # mostly what the mask allows, so that the attack gets somewhere
            allowed = np.flatnonzero(obs["action_mask"][0]) if rng.random() < 0.9 else np.arange(task.network.noop)
            action: Any = int(rng.choice(allowed))
        else:
            action = rng.integers(0, task.network.parameters)
        np.random.seed(moment)
        draw = np.random.rand()
        np.random.seed(moment)  # nasim draws the same number, from the global generator
        expected, reward, done, limit, info = theirs.step(action)
        rewards = play.step(play.flat(np.array(action).reshape(1, -1)), np.array([draw]), obs)
        np.testing.assert_array_equal(obs["obs"][0], expected)
        assert (rewards[0], play.reached[0], play.late[0]) == (reward, done, limit and not done)
        successes += info["success"]
        if done or limit:
            play.begin(ONE, obs)
            np.testing.assert_array_equal(obs["obs"][0], theirs.reset()[0])
    assert successes > 100 or name == "pocp-1-gen"


def test_every_benchmark_of_nasim_is_a_variant() -> None:
    from nasim.scenarios.benchmark import AVAIL_GEN_BENCHMARKS, AVAIL_STATIC_BENCHMARKS

    assert list(_FIXED) == [*sorted(_FIXED, key=list(AVAIL_STATIC_BENCHMARKS).index)]
    assert set(_FIXED) == set(AVAIL_STATIC_BENCHMARKS)
    assert set(_GENERATED) == set(AVAIL_GEN_BENCHMARKS)
    for name, summary in {**_FIXED, **_GENERATED}.items():
        assert summary.startswith(f"{len(resolve_task(None, benchmark=name).network.addresses)} hosts")


@pytest.mark.parametrize(
    "options",
    [{}, {"remember": False, "action_mask": False}, {"fully_obs": True, "flat_actions": False}, {"flat_actions": False}],
)
def test_the_vectorised_attacks_equal_the_single_ones(options: dict[str, bool]) -> None:
    task = resolve_task(NASimOptions(step_limit=40, **options), benchmark="tiny-small")
    contexts = make_contexts(5, 3, 4)
    singles = [NASimEnv(task, context) for context in contexts]
    group = NASimGroup(task, contexts)
    obs = {key: np.full((4, *spec.shape), 7, spec.dtype) for key, spec in group.obs_specs.items()}
    views = StepViews(obs, np.full(4, np.nan, np.float32), *np.ones((3, 4), bool))
    group.reset_into(obs)
    for i, (single, context) in enumerate(zip(singles, contexts, strict=True)):
        assert_same(single.reset(seed=context.seed)[0], obs, i)
    ended, ends = [False] * 4, 0
    rng = np.random.default_rng(0)
    for _ in range(300):
        actions = np.stack([np.atleast_1d(choose(task, obs, i, rng)) for i in range(4)])
        group.send(actions)
        report = group.recv_into(views)
        metrics = {} if report is None else {row: i for i, row in enumerate(report.rows.tolist())}
        for i, single in enumerate(singles):
            if ended[i]:
                assert_same(single.reset()[0], obs, i)
                assert (views.rewards[i], views.terminated[i], views.truncated[i], views.valid[i]) == (0, False, False, False)
                ended[i] = False
                continue
            seen, reward, terminated, truncated, info = single.step(actions[i] if len(actions[i]) > 1 else int(actions[i, 0]))
            assert_same(seen, obs, i)
            assert (views.rewards[i], views.terminated[i], views.truncated[i]) == (np.float32(reward), terminated, truncated)
            assert views.valid[i]
            ended[i] = terminated or truncated
            assert ended[i] == (i in metrics)
            if ended[i]:
                ends += 1
                assert report is not None
                reported = {name: values[metrics[i]] for name, values in report.metrics.items()}
                assert {name: value for name, value in reported.items() if not np.isnan(value)} == info
    assert ends > 4


def assert_same(seen: Any, obs: dict[str, Any], row: int) -> None:
    parts = seen if isinstance(seen, dict) else {"obs": seen}
    for key, value in parts.items():
        np.testing.assert_array_equal(value, obs[key][row])


def choose(task: Any, obs: dict[str, Any], row: int, rng: np.random.Generator) -> Any:
    if not task.options.flat_actions:
        return rng.integers(0, task.network.parameters)
    if "action_mask" not in obs:
        return rng.integers(task.network.noop)
    return rng.choice(np.flatnonzero(obs["action_mask"][row]))


def test_a_saved_group_goes_on_exactly() -> None:
    task = resolve_task(NASimOptions(step_limit=50), benchmark="tiny-small")
    groups = [NASimGroup(task, make_contexts(seed, 0, 3)) for seed in (1, 2)]

    def run(group: NASimGroup, steps: int) -> list[Any]:
        obs = {key: np.zeros((3, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
        views = StepViews(obs, np.zeros(3, np.float32), *np.zeros((3, 3), bool))
        rng, seen = np.random.default_rng(3), []
        for _ in range(steps):
            group.send(rng.integers(0, task.network.noop, (3, 1)))
            group.recv_into(views)
            seen.append([value.copy() for value in (obs["obs"], *views[1:])])
        return seen

    run(groups[0], 177)
    groups[1].set_state(groups[0].get_state())
    for one, other in zip(run(groups[0], 300), run(groups[1], 300), strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="of another network: 'compromised' has"):
        NASimGroup(resolve_task(None, benchmark="small"), make_contexts(1, 0, 3)).set_state(groups[0].get_state())
