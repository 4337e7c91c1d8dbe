"""Several agents and policies in one process, where everything can be looked at and is reproducible bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_envs import OneIsPaid, Opposites, Parallel, RockPaperScissors, Staggered
from run_support import small

from arl_core import APPO, UserError
from arl_core.algorithms.targets import vtrace
from arl_core.learning.checkpoint import checkpoints, load_file


def serial(env: Any, **fields: Any) -> APPO:
    return small(env, envs=4, serial=True, **{"normalize_input": False, **fields})


def same(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def exact(model: APPO) -> bool:
    """The books of every policy and of all together."""
    engine = model._trainer.engine
    each = [engine.balance(policy) for policy in range(model.config.num_policies)]
    total = engine.balance()
    assert total.produced == sum(one.produced for one in each) > 0
    assert total.trained == sum(one.trained for one in each) == engine.frames
    return total.exact and all(one.exact for one in each)


def test_one_policy_plays_all_agents() -> None:
    with serial(Parallel) as model:
        status = model.train(3_000)
        assert status == 0
        assert exact(model)
        result = model.evaluate(6)
        assert result["return_mean"] > 3.5
        assert result["episodes"] == 12, "an episode has a return for each agent"
        assert result["length_mean"] == 4
        assert result["ones"] > 0.9


def test_agents_that_want_opposites_need_two_policies() -> None:
    with serial(Opposites, num_policies=2, learning_rate=1e-2) as model:
        model.train(2_500)
        assert exact(model)
        result = model.evaluate(6)
        assert min(result["policy_0/return_mean"], result["policy_1/return_mean"]) > 3.5
        assert model.evaluate(4, policy=1)["return_mean"] == pytest.approx(2.0), "b's policy serves b alone"
        policies = model._trainer.snapshot.policies  # type: ignore[union-attr]
        assert all(policy.return_mean > 2.5 for policy in policies if policy.return_mean is not None)
        assert sum(policy.frames for policy in policies) == model._trainer.frames
        batches = model.config.batch_size * model.config.num_batches_per_iteration * 2
        assert 2 * 2_500 <= model._trainer.frames <= 2 * 2_500 + batches, "train counts for each policy"
        assert model._trainer.snapshot.target_frames == 2 * 2_500  # type: ignore[union-attr]
        observations = np.ones((5, 1), np.float32)
        assert [model.predict(observations, deterministic=True, policy=p)[0].tolist() for p in (0, 1)] == [[1] * 5, [0] * 5]


class OneIsPunished(OneIsPaid):
    """The same, as agent b sees it."""

    def rewards(self, actions: Any) -> dict[str, float]:
        return {agent: -reward for agent, reward in super().rewards(actions).items()}


def test_a_policy_never_sees_what_another_did() -> None:
    """Two runs that differ in agent a's rewards alone: the policy of agent b stays the same, bit for bit."""
    weights = []
    for env in (OneIsPaid, OneIsPunished):
        with serial(env, num_policies=2) as model:
            first = model.get_parameters()
            assert not same(first[0], first[1]), "they begin with other weights"
            model.train(2_000)
            weights.append(model.get_parameters())
            assert not same(weights[-1][1], first[1])
    assert same(weights[0][1], weights[1][1])
    assert not same(weights[0][0], weights[1][0])


MIXED: dict[str, Any] = {
    "num_policies": 2,
    "self_play_fraction": 0.5,
    "self_play_snapshots": 2,
    "self_play_every_frames": 150,
    "policy_assignment": "random",
}


def test_memory_is_emptied_of_anything() -> None:
    """Also of NaN, which an environment's observation has left there before its worker was replaced."""
    with serial(Staggered, **MIXED, use_rnn=True) as model:
        model.train(100)
        engine: Any = model._trainer.engine
        engine.actor.state.fill_(torch.nan)
        engine._arena["group.last_valid"][:] = False
        for runner in engine.runners:
            runner.ready()
            engine.actor.act_one(runner.index, runner.slot, runner.t)
        assert engine.actor.state.isfinite().all()


@pytest.mark.parametrize("fields", [{"use_rnn": True}, {"normalize_input": True}])
def test_it_is_reproducible_and_resumes_bit_for_bit(tmp_path: Path, fields: dict[str, Any]) -> None:
    fields = MIXED | fields
    with serial(Staggered, **fields) as whole, serial(Staggered, **fields) as half:
        whole.train(600)
        whole.train(600)
        half.train(600)
        half.save(tmp_path)
        assert exact(half)
    assert [len(checkpoints(tmp_path / name)) for name in ("p0", "p1")] == [1, 1]
    with serial(Staggered, **fields) as rest:
        rest.load(tmp_path)
        rest.train(600)
        assert exact_after_load(rest)
        for policy, weights in whole.get_parameters().items():
            assert same(rest.get_parameters()[policy], weights)


def test_what_is_on_its_way_is_each_policy_s_own_after_a_load(tmp_path: Path) -> None:
    with serial(Staggered, **MIXED) as half:
        half.train(600)
        half.save(tmp_path)
    with serial(Staggered, **MIXED) as plain, serial(Staggered, **MIXED) as changed:
        changed.set_parameters({0: changed.get_parameters()[0]})  # a new epoch of policy 0 alone
        changed.train(100)
        for model in (plain, changed):
            model.load(tmp_path)
            model.train(600)
        for policy, weights in plain.get_parameters().items():
            assert same(changed.get_parameters()[policy], weights)


def exact_after_load(model: APPO) -> bool:
    return all(model._trainer.engine.balance(policy).exact for policy in (None, 0, 1))


def test_what_snapshots_played_is_not_trained_on() -> None:
    with serial(RockPaperScissors, self_play_fraction=1.0, self_play_every_frames=10**9) as model:
        model.train(4_000)
        engine = model._trainer.engine
        assert exact(model)
        arena = engine._arena  # type: ignore[attr-defined]
        produced = engine.balance().produced
        assert arena["group.request"].sum() == 0
        valid = arena["valid"].sum()
        learned = (arena["valid"] & (arena["owner"] == 0)).sum()
        assert learned == pytest.approx(valid / 2, rel=0.02), "one of the two learns"
        assert produced >= 4_000
        # a uniform opponent, for ever: rock earns a third
        mean = engine.statistics.episodes.return_mean
        assert mean is not None
        assert mean > 0.2, "returns are those of the learning agent; the opponent's would make them 0"


def test_snapshots_are_taken_kept_and_saved(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"self_play_fraction": 0.5, "self_play_snapshots": 2, "self_play_every_frames": 500}
    with serial(RockPaperScissors, **fields) as model:
        model.train(400)
        pool = model._trainer.engine.learners[0].snapshots  # type: ignore[attr-defined]
        first, other = pool.weights()
        assert torch.equal(first, other), "the weights that the run began with"
        model.train(300)
        after = pool.weights()
        assert not torch.equal(after[0], first)
        assert torch.equal(after[1], first), "the oldest is replaced first"
        file = model.save(tmp_path)
    assert load_file(file)["learner"]["snapshots"]["oldest"] == 1
    with serial(RockPaperScissors, **fields) as again:
        again.load(tmp_path)
        again.train(1)
        restored = again._trainer.engine.learners[0].snapshots.weights()  # type: ignore[attr-defined]
        assert torch.equal(restored[0], after[0])


def naive_runs(valid: Any) -> list[tuple[int, int]]:
    """Stretches of valid rows of one column: what one agent lived through without a break."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], valid, [0]]).astype(int)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


@pytest.mark.parametrize("rnn_type", ["gru", "lstm"])
def test_memory_and_targets_are_those_of_each_agent_alone(rnn_type: str) -> None:
    """Runs of several invalid rows, agents that come and go: acting, learning and V-trace against one agent at a time."""
    fields = MIXED | {"use_rnn": True, "rnn_type": rnn_type, "rollout": 16, "learning_rate": 1e-12, "hidden_size": 8}
    with serial(Staggered, **fields) as model:
        model.train(800)
        arena, engine = model._trainer.engine._arena, model._trainer.engine  # type: ignore[attr-defined]
        seen = 0
        for slot in np.flatnonzero(arena["slot.sequence"]):
            for policy in range(2):
                network = engine.learners[policy].model  # type: ignore[attr-defined]
                owned = arena["valid"][slot] & (arena["owner"][slot] == policy)
                columns = np.flatnonzero(owned.any(0))
                if len(columns):
                    seen += check_columns(network, arena, slot, columns, torch.from_numpy(owned[:, columns]))
        assert seen > 100


def check_columns(network: Any, arena: Any, slot: int, columns: Any, own: torch.Tensor) -> int:
    """Compare the batch of these columns with each agent's own stretches; returns the frames compared."""
    obs = torch.from_numpy(arena["obs.obs"][slot][:, columns])
    state0 = torch.from_numpy(arena["rnn_state"][slot][columns])
    outputs = torch.from_numpy(arena["outputs"][slot][:, columns])
    flags = {name: torch.from_numpy(arena[name][slot][:, columns]) for name in ("terminated", "truncated", "rewards")}
    with torch.no_grad():
        params, values = network.evaluate({"obs": obs}, state0, own)
    behaviour, present = torch.zeros(own.shape), torch.randn(own.shape) * 0.1
    ended = flags["terminated"], flags["truncated"], own
    advantages, targets = vtrace(present, behaviour, flags["rewards"], values, *ended, 0.9, 1.0, 1.0)
    compared = 0
    for column in range(len(columns)):
        for begin, end in naive_runs(own[:, column].numpy()):
            state = state0[column : column + 1] if begin == 0 else torch.zeros(1, network.state_size)
            alone = []
            for t in range(begin, end + 1):
                with torch.no_grad():
                    p, v, state = network.step(network.preprocess.forward({"obs": obs[t, column : column + 1]}), state)
                alone.append(v[0])
                if t < end:
                    torch.testing.assert_close(p[0], params[t, column], rtol=1e-4, atol=1e-5)
                    torch.testing.assert_close(p[0], outputs[t, column, :-1], rtol=1e-4, atol=1e-5)  # as it was acted on
            expected = alone[-1] * (not flags["terminated"][end - 1, column])
            follows = expected
            for t in range(end - 1, begin - 1, -1):  # Espeholt et al. 2018, eq. 1, backwards
                ratio = present[t, column].exp().clamp(max=1.0)
                reward, value, after = flags["rewards"][t, column], alone[t - begin], alone[t - begin + 1]
                after = after if t < end - 1 else expected
                torch.testing.assert_close(
                    advantages[t, column], ratio * (reward + 0.9 * follows - value), rtol=1e-3, atol=1e-4
                )
                follows = value + ratio * (reward + 0.9 * after - value) + 0.9 * ratio * (follows - after)
                torch.testing.assert_close(targets[t, column], follows, rtol=1e-3, atol=1e-4)
            compared += end - begin
    return compared


def test_parameters_of_policies(tmp_path: Path) -> None:
    with serial(Opposites, num_policies=2, batch_size=72) as model:  # not a whole number of slots: something is on its way
        model.train(300)
        weights = model.get_parameters()
        assert sorted(weights) == [0, 1]
        model.set_parameters({1: weights[0]})
        changed = model.get_parameters()
        assert same(changed[1], weights[0])
        assert same(changed[0], weights[0])
        dropped = [model._trainer.engine.balance(policy).dropped_epoch for policy in (0, 1)]
        model.train(300)
        assert exact(model)
        assert model._trainer.engine.balance(1).dropped_epoch >= dropped[1] > 0
        with pytest.raises(UserError, match=r"this run has policies 0 to 1, not \[2\]"):
            model.set_parameters({2: weights[0]})
        with pytest.raises(UserError, match="there is no policy 2: they are numbered from 0 to 1"):
            model.evaluate(policy=2)
        with pytest.raises(UserError, match=r"is one file, and this run has 2 policies: name a folder"):
            model.save(tmp_path / "both.pt")
        file = model.save(tmp_path)
        assert file.parent == tmp_path / "p0"
        with pytest.raises(UserError, match="is of one policy, and this run has 2"):
            model.load(file)
        model.set_parameters({1: file})  # the network of policy 0, for policy 1
        assert same(model.get_parameters()[1], model.get_parameters()[0])


def evaluated(model: Any) -> Any:
    """Train until there was an evaluation: they come with the engine's ticks, ten a second."""
    for _ in range(100):
        model.train(1_000)
        if model._trainer.engine.statistics.evaluation:
            break
    return model._trainer.engine.statistics.evaluation


def test_evaluation_during_training_plays_every_policy() -> None:
    with serial(Opposites, num_policies=2, eval_every_frames=300, eval_episodes=3) as model:
        evaluation = evaluated(model)
    assert evaluation["episodes"] == 6
    assert {"policy_0/return_mean", "policy_1/return_mean"} <= evaluation.keys()


def test_a_policy_s_best_is_its_own_in_an_evaluation(tmp_path: Path) -> None:
    fields = {"eval_every_frames": 400, "save_best_metric": "eval/return_mean", "save_best_after": 0}
    place = {"train_dir": str(tmp_path), "experiment": "r"}
    with serial(OneIsPaid, num_policies=2, **fields, **place) as model:
        evaluation = evaluated(model)
        values = [best.value for best in model._trainer.best]
    assert values[1] == 0.0 == evaluation["policy_1/return_mean"], "agent b is never paid"
    assert values[0] is not None
    assert values[0] >= evaluation["policy_0/return_mean"] > 0.0
    for policy, value in enumerate(values):
        (file,) = checkpoints(tmp_path / "r" / "checkpoints" / f"p{policy}" / "best")
        assert load_file(file)["best"]["value"] == value
