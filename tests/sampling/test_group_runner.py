from __future__ import annotations

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.envs.group import SingleEnvGroup, make_contexts
from arl_core.ipc.slots import SlotState, settle_hand_over
from arl_core.sampling.actor import Actor
from arl_core.sampling.group_runner import GroupRunner, RewardOrObservationFault


def fill(runner: GroupRunner, actor: Actor, steps: int) -> None:
    for _ in range(steps):
        assert runner.ready()
        actor.act_one(runner.index, runner.slot, runner.t)
        runner.step()


def fill_slot(world: Any, runner: GroupRunner, actor: Actor) -> dict[str, Any]:
    """One whole slot, as the learner finds it; given back at once."""
    fill(runner, actor, world.shape.rollout)
    slot = world.inbox.oldest_full()
    rows: dict[str, Any] = world.rows(slot)
    rows["slot"] = slot
    world.inbox.release(slot)
    return rows


def expected_steps(row: int, count: int) -> list[tuple[float, bool, bool, bool]]:
    """(reward, terminated, truncated, valid) of environment `row` of `Counting`."""
    steps: list[tuple[float, bool, bool, bool]] = []
    episode = 1
    while len(steps) < count:
        for k in range(1, row + 3):
            over = k == row + 2
            steps.append((float(k), over and episode % 2 == 1, over and episode % 2 == 0, True))
        steps.append((0.0, False, False, False))
        episode += 1
    return steps[:count]


# --------------------------------------------------------------------------- trajectories


def test_slots_hold_what_the_environments_did(make_world: Any) -> None:
    world = make_world(slots=3)
    runner, actor = world.runner(), world.actor()
    slots = [fill_slot(world, runner, actor) for _ in range(7)]
    assert [rows["slot"] for rows in slots] == [0, 1, 2, 0, 1, 2, 0]
    joined = {name: np.concatenate([rows[name] for rows in slots]) for name in ("rewards", "terminated", "truncated", "valid")}
    for row in range(3):
        columns = zip(*(joined[name][:, row].tolist() for name in joined), strict=True)
        assert list(columns) == expected_steps(row, 35)
    for before, after in pairwise(slots):
        np.testing.assert_array_equal(before["obs.obs"][-1], after["obs.obs"][0])
        assert before["slot.sequence"] < after["slot.sequence"]
    for rows in slots:
        taken = rows["obs.obs"][1:, :, 3] * 4  # what the environment says it was told
        np.testing.assert_array_equal(taken[rows["valid"]], rows["actions"][..., 0][rows["valid"]])
        assert (taken[~rows["valid"]] == -1).all()
        assert (rows["slot.weights_epoch"] == 0).all()


def test_final_observations_are_kept(make_world: Any) -> None:
    world = make_world(rollout=6)
    rows = fill_slot(world, world.runner(), world.actor())
    number, episode, step = (rows["obs.obs"][:, 0, k] * 4 for k in range(3))
    assert (number == 0).all()
    assert episode.tolist() == [1, 1, 1, 2, 2, 2, 3]
    assert step.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rows["valid"][:, 0].tolist() == [True, True, False, True, True, False]


def test_what_the_policy_said_is_stored_with_its_version(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    runner.ready()
    fill(runner, actor, 2)
    with torch.no_grad():
        world.flat.params.mul_(1.5)
    world.publish(7)
    actor.refresh()
    fill(runner, actor, 3)
    rows = world.rows(0)
    assert rows["versions"].tolist() == [0, 0, 7, 7, 7]
    obs, state, valid = world.tensors(0)
    params, values = world.model.evaluate(obs, state, valid)
    assert not np.allclose(rows["params"][:2], params[:2].detach())
    torch.testing.assert_close(torch.from_numpy(rows["params"][2:]), params[2:5])
    torch.testing.assert_close(torch.from_numpy(rows["values"][2:]), values[2:5])
    assert len(np.unique(rows["actions"])) > 1


def test_without_a_free_slot_there_is_no_sampling(make_world: Any) -> None:
    world = make_world(slots=2)
    runner, actor = world.runner(), world.actor()
    fill(runner, actor, 10)
    life = [env.life for env in runner.group.envs]  # type: ignore[attr-defined]
    for _ in range(3):
        assert not runner.ready()
    last = world.rows(1)["obs.obs"][-1]
    assert world.inbox.oldest_full() == 0
    assert not runner.ready(), "the learner trains on it"
    world.inbox.release(0)
    assert runner.ready()
    np.testing.assert_array_equal(world.arena["obs.obs"][0, 0], last)
    assert [env.life for env in runner.group.envs] == life  # type: ignore[attr-defined]


def test_frames_and_episodes_are_counted(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    slots = [fill_slot(world, runner, actor) for _ in range(6)]
    valid = sum(int(rows["valid"].sum()) for rows in slots)
    assert world.arena["group.frames"][0][0, :2].tolist() == [valid, 0]
    message = runner.report.message()
    ends = [sum(int((rows["terminated"] | rows["truncated"])[:, row].sum()) for rows in slots) for row in range(3)]
    assert message["count"] == sum(ends)
    lengths = [length for row, count in enumerate(ends) for length in [row + 2] * count]
    assert sorted(message["lengths"].tolist()) == lengths
    assert sorted(message["returns"].tolist()) == sorted(length * (length + 1) / 2 for length in lengths)
    assert len(message["metrics"]["episode_number"]) == sum(ends)


def test_groups_share_nothing(make_world: Any) -> None:
    world = make_world(num_groups=2)
    actor = world.actor()
    runners = [world.runner(index) for index in range(2)]
    fill(runners[0], actor, 5)
    fill(runners[1], actor, 3)
    assert world.arena["slot.state"][0].tolist() == [SlotState.FULL, SlotState.FREE, SlotState.FILLING, SlotState.FREE]
    assert world.arena["group.frames"][0][:, 0].tolist() == [int(world.rows(0)["valid"].sum()), 0]


@pytest.mark.parametrize("given", [False, True])
def test_a_death_within_the_hand_over_of_a_slot_loses_no_frame(make_world: Any, given: bool) -> None:
    """`given`: whether the learner has the slot already."""
    world = make_world()
    runner, actor = world.runner(), world.actor()
    hand_over = runner._ring.hand_over

    def die(*arguments: Any) -> None:
        if given:
            hand_over(*arguments)
        raise KeyboardInterrupt

    runner._ring.hand_over = die
    with pytest.raises(KeyboardInterrupt):
        fill(runner, actor, world.shape.rollout)
    settle_hand_over(world.arena, 0)
    assert world.inbox.oldest_full() == 0
    assert world.arena["group.frames"][0, 0, :2].tolist() == [np.count_nonzero(world.arena["valid"][0]), 0]
    assert world.arena["group.slots"][0, :2].tolist() == [0, 1]


# --------------------------------------------------------------------------- recurrence


def test_environments_of_a_worker_that_replaces_another_begin_without_memory(make_world: Any) -> None:
    world = make_world()
    fill(world.runner(), world.actor(), 1)
    assert world.arena["group.last_valid"].all()
    world.runner()
    assert not world.arena["group.last_valid"].any()


@pytest.mark.parametrize("options", [{"rnn_type": "gru"}, {"rnn_type": "lstm", "actor_critic_share_weights": False}])
def test_recurrent_state_is_that_of_the_learner(make_world: Any, options: dict[str, Any]) -> None:
    """From the state stored at row 0 the learner's unrolling gives the very outputs of acting, over every episode's end."""
    world = make_world(use_rnn=True, rollout=7, **options)
    runner, actor = world.runner(), world.actor()
    runner.ready()
    for number in range(4):
        fill(runner, actor, 7)
        slot = world.inbox.oldest_full()
        obs, state, valid = world.tensors(slot)
        rows = world.rows(slot)
        params, values = world.model.evaluate(obs, state, valid)
        torch.testing.assert_close(torch.from_numpy(rows["params"]), params[:7], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(rows["values"]), values[:7], rtol=1e-5, atol=1e-5)
        assert bool((rows["rnn_state"] != 0).any()) == (number > 0)
        assert not rows["valid"].all()
        world.inbox.release(slot)


def test_memory_is_zeroed_after_the_reset_row(make_world: Any) -> None:
    """The final observation is still seen with the episode's own memory; the next episode starts without."""
    world = make_world(use_rnn=True, rollout=1, group_size=1, slots=4)
    runner, actor = world.runner(), world.actor()
    states, valid = [], []
    for _ in range(7):  # episodes of two steps, then a reset
        rows = fill_slot(world, runner, actor)
        states.append(bool(rows["rnn_state"].any()))
        valid.append(bool(rows["valid"][0, 0]))
    assert valid == [True, True, False, True, True, False, True]
    assert states == [False, True, True, False, True, True, False]


# --------------------------------------------------------------------------- new weights from outside


def test_restart_keeps_the_observation_and_counts_what_it_discards(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    fill(runner, actor, 3)
    assert not runner.stale()
    world.arena["control.weights_epoch"][0] = 1
    assert runner.stale()
    present = world.arena["obs.obs"][0, 3].copy()
    valid = int(world.rows(0)["valid"][:3].sum())
    life = [env.life for env in runner.group.envs]  # type: ignore[attr-defined]
    runner.restart_slot()
    assert not runner.stale()
    assert (runner.slot, runner.t) == (0, 0)
    assert world.arena["group.frames"][0][0, :2].tolist() == [0, valid]  # one word: whole, wherever we are killed
    np.testing.assert_array_equal(world.arena["obs.obs"][0, 0], present)
    assert [env.life for env in runner.group.envs] == life  # type: ignore[attr-defined]
    rows = fill_slot(world, runner, actor)
    assert rows["slot.weights_epoch"] == 1
    np.testing.assert_array_equal(rows["rewards"][:, 2], [step[0] for step in expected_steps(2, 8)][3:])
    total = int(world.arena["group.frames"][0][0, 0])
    assert total == int(rows["valid"].sum())


def test_episodes_go_on_over_a_restart(make_world: Any) -> None:
    """What is not trained on is played all the same: returns are those of whole episodes."""
    world = make_world(group_size=3)
    runner, actor = world.runner(), world.actor()
    fill(runner, actor, 2)
    runner.restart_slot()
    fill_slot(world, runner, actor)
    message = runner.report.message()
    assert sorted(message["returns"].tolist()) == [3, 3, 6, 6, 10]
    assert sorted(message["lengths"].tolist()) == [2, 2, 3, 3, 4]


def test_restart_at_row_zero_and_between_slots_discards_nothing(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    world.arena["control.weights_epoch"][0] = 1
    runner.restart_slot()
    assert not runner.stale()
    runner.ready()
    runner.restart_slot()
    assert world.arena["group.frames"][0][0, :2].tolist() == [0, 0]
    rows = fill_slot(world, runner, actor)
    assert rows["slot.weights_epoch"] == 1
    assert world.arena["group.frames"][0][0, 1] == 0


def test_recurrent_state_goes_on_over_a_restart(make_world: Any) -> None:
    world = make_world(use_rnn=True)
    runner, actor = world.runner(), world.actor()
    fill(runner, actor, 3)
    runner.restart_slot()
    fill(runner, actor, 5)
    obs, state, valid = world.tensors(0)
    assert state is not None
    assert state.any()
    params, _ = world.model.evaluate(obs, state, valid)
    torch.testing.assert_close(torch.from_numpy(world.rows(0)["params"]), params[:5], rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------- faults

NAN, INF = float("nan"), float("inf")
WHOLE = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((WHOLE, NAN), r"environment 8 gave a reward that is not finite \(nan\) at step 3"),
        ((WHOLE, -INF), r"environment 8 gave a reward that is not finite \(-inf\) at step 3"),
        (
            (np.array([0, NAN, 0, 0], np.float32), 1.0),
            r"environment 8 gave an observation 'obs' that is not finite \(nan\) at step 4",
        ),
        (
            (np.array([INF, -INF, 0, 0], np.float32), 1.0),
            r"environment 8 gave an observation 'obs' that is not finite \(inf\) at step 4",
        ),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_is_not_finite_is_named_and_never_handed_over(make_world: Any, bad: Any, message: str) -> None:
    world = make_world(num_groups=3)
    runner, actor = world.runner(2, bad={2: {4: bad}}), world.actor()
    with pytest.raises(RewardOrObservationFault, match=message):
        fill(runner, actor, 5)
    assert (world.arena["slot.state"][0] != SlotState.FULL).all()
    assert world.arena["group.frames"][0][2, 0] == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_large_values_whose_sum_overflows_are_finite(make_world: Any) -> None:
    world = make_world()
    large = {life: (np.full(4, 3e38, np.float32), 1.0) for life in range(1, 5)}
    runner, actor = world.runner(bad={1: large}), world.actor()
    fill(runner, actor, 5)
    assert world.inbox.oldest_full() == 0


def test_a_discarded_slot_is_checked_too(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(bad={0: {2: (WHOLE, NAN)}}), world.actor()
    fill(runner, actor, 3)
    with pytest.raises(RewardOrObservationFault, match="environment 0 gave a reward"):
        runner.restart_slot()


# --------------------------------------------------------------------------- position and state


def test_the_position_is_shown_to_the_trainer(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    seen = []
    for steps in (0, 3, 2, 1):
        fill(runner, actor, steps)
        runner.publish_position()
        seen.append(world.arena["group.position"][0, :2].tolist())
    assert [place[0] for place in seen] == [-1, 0, -1, 1]
    assert [seen[1][1], seen[3][1]] == [3, 1]


class Cart(gym.Env[Any, Any]):
    """Only its spaces: of CartPole."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = spaces.Discrete(2)


@pytest.mark.parametrize("steps", [0, 3, 10, 13])
def test_a_saved_runner_goes_on_bit_for_bit(make_world: Any, steps: int) -> None:
    def make(world: Any, seed: int) -> GroupRunner:
        envs = [gym.make("CartPole-v1", max_episode_steps=9) for _ in range(3)]
        runner = GroupRunner(SingleEnvGroup(envs, make_contexts(seed, 0, 3)), 0, world.arena, world.shape)
        runner.reset()
        return runner

    def go_on(world: Any, runner: GroupRunner) -> list[Any]:
        slots = []
        for _ in range(5):
            while True:
                assert runner.ready()
                world.arena["actions"][runner.slot, runner.t] = runner.t % 2
                runner.step()
                if runner.slot < 0:
                    break
            slot = world.inbox.oldest_full()
            rows = world.rows(slot)
            world.inbox.release(slot)
            slots.append((slot, *(rows[name].tobytes() for name in ("obs.obs", "rewards", "truncated", "terminated", "valid"))))
        message = runner.report.message()
        return [slots, message["returns"].tolist(), message["lengths"].tolist()]

    first = make_world(env=Cart)
    runner = make(first, seed=1)
    for _ in range(steps):
        runner.ready()
        first.arena["actions"][runner.slot, runner.t] = 1
        runner.step()
        if runner.slot < 0:
            first.inbox.release(first.inbox.oldest_full())
    saved = runner.get_state()
    assert saved is not None
    saved = {key: value.copy() for key, value in saved.items()}
    arena = {name: first.arena[name].copy() for name in first.arena.table if not name.startswith("weights")}
    runner.report.clear()
    second = make_world(env=Cart)
    other = make(second, seed=2)
    other.set_state(saved)
    for name, array in arena.items():
        second.arena[name][...] = array
    assert go_on(first, runner) == go_on(second, other)


def test_what_cannot_be_saved_has_no_state(make_world: Any) -> None:
    assert make_world().runner().get_state() is None
