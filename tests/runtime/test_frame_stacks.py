"""Frames of stacked observations are stored once: what is trained on is what the environments showed, in every mode."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
import stacked_envs
import torch
from gymnasium import Env, Wrapper
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import (
    FlattenObservation,
    FrameStackObservation,
    RecordEpisodeStatistics,
    RescaleAction,
    TimeLimit,
    TransformReward,
)
from run_support import small

from arl_core.envs.make import frame_stacks_of
from arl_core.envs.wrappers.rewards import RewardScale
from arl_core.interfaces import FrameStacking, UserError

LOOKING: dict[str, Any] = {"encoder": "py:stacked_envs:Looking", "normalize_input": False}
POLICIES: dict[str, Any] = {"num_policies": 2, "policy_assignment": "random"}


def stackings(model: Any) -> Any:
    return model._trainer.plan.shape.stackings


def assert_equal(one: Any, other: Any) -> None:
    a, b = one.get_parameters(), other.get_parameters()
    assert {policy: list(each) for policy, each in a.items()} == {policy: list(each) for policy, each in b.items()}
    assert all(torch.equal(value, b[policy][key]) for policy, each in a.items() for key, value in each.items())


@pytest.mark.parametrize("kind", ["stored", "zeros", "gymnasium", "parts"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"with_vtrace": False, "ppo_epochs": 2, "num_batches_per_iteration": 2},
        {"use_rnn": True, "rnn_type": "gru"},
        {"rollout": 2, "batch_size": 24},  # shorter than the stack
        {"num_workers": 3, "batch_size": 40},  # slots split among batches
        POLICIES,
        {"decorrelate_steps": 20},
    ],
)
def test_a_serial_run_is_bit_equal_to_one_that_stores_stacks_whole(kind: str, fields: dict[str, Any]) -> None:
    fields = {**(LOOKING if kind != "parts" else {}), "serial": True, "seed": 3, **fields}
    workers = fields.pop("num_workers", 2)
    with (
        small(f"py:stacked_envs:{kind}_once", workers=workers, **fields) as once,
        small(f"py:stacked_envs:{kind}_whole", workers=workers, **fields) as whole,
    ):
        assert stackings(once)
        assert not stackings(whole)
        for _ in range(2):
            assert once.train(600) == whole.train(600) == 0
            assert_equal(once, whole)
            for model in (once, whole):  # what is on its way is discarded, and begins anew with the same observation
                model.set_parameters(model.get_parameters())


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        ("stored_once", {"inference": "local"}),
        ("zeros_once", {"inference": "central", "use_rnn": True, "worker_num_splits": 2}),
        ("Beside", {"inference": "central", **POLICIES}),
        ("stored_once", {"hogwild": True}),
        ("gymnasium_once", {"inference": "central"}),
    ],
)
def test_processes_act_and_train_on_stacks(env: str, fields: dict[str, Any]) -> None:
    """The encoder raises where they are none: in workers, policy workers and the learner."""
    with small(f"py:stacked_envs:{env}", workers=2, **LOOKING, **fields) as model:
        assert stackings(model)
        assert model.train(2_000) == 0
        model.set_parameters(model.get_parameters())
        assert model.train(1_000) == 0
        assert model._trainer.engine.balance().exact


@pytest.mark.parametrize("serial", [False, True])
def test_stacks_that_are_none_are_told_at_once_in_one_line(serial: bool, caplog: pytest.LogCaptureFixture) -> None:
    with small("py:stacked_envs:turned_round", serial=serial) as model:
        status = model.train(200)
        assert status == status.FAILURE
        said = r"says in frame_stacks .*that its observation 'obs' is FrameStacking\(frames=4, axis=0, copies_first=True\)"
        assert re.match(rf"(rollout-0: )?environment \d {said}", status.error)
        assert "restart" not in status.error, "it would be no other the next time"
        assert [record.message for record in caplog.records if record.levelno > logging.INFO] == [status.error]


@pytest.mark.parametrize(
    ("env", "told"),
    [("wrong_in_the_middle", "is not: .*before the first frame"), ("nan_in_the_middle", "(?s)not finite .* at step 8")],
)
def test_what_is_said_of_beginnings_is_looked_at_where_one_is_first_seen(env: str, told: str) -> None:
    with small(f"py:stacked_envs:{env}", serial=True, rollout=16) as model:
        status = model.train(500)
        assert status == status.FAILURE
        assert re.search(told, status.error)


def test_gymnasiums_stacks_of_an_array_that_is_written_again_are_told() -> None:
    with small("py:stacked_envs:reusing", serial=True) as model:
        status = model.train(200)
        assert re.search(r"by Gymnasium's FrameStackObservation\) .*has to return a new array at every step", status.error)


@pytest.mark.parametrize(
    ("padding", "copies_first"), [("reset", True), ("zero", False), (np.zeros(3, np.float32), False), (np.ones(3, "f"), None)]
)
def test_gymnasiums_wrapper_need_not_say_what_it_shows(padding: Any, copies_first: bool | None) -> None:
    frames = Box(-1.0, 1.0, (3,), np.float32)
    env = FrameStackObservation(Showing(frames), 2, padding_type=padding)
    found = {} if copies_first is None else {"obs": (2, 0, copies_first)}
    for around in (
        env,
        TimeLimit(RecordEpisodeStatistics(env), 5),
        TransformReward(env, float),
        RescaleAction(env, np.float32(0), np.float32(1)),
        RewardScale(RecordEpisodeStatistics(env), 2.0),
    ):
        assert frame_stacks_of(around) == found


def test_what_is_not_surely_a_stack_of_frames_is_stored_whole() -> None:
    assert frame_stacks_of(FrameStackObservation(Showing(Box(1.0, 2.0, (3,))), 2, padding_type="zero")) == {}, "it pads with 1"
    assert frame_stacks_of(FrameStackObservation(Showing(Box(0.0, 2.0, (3,))), 1)) == {}
    assert frame_stacks_of(FrameStackObservation(Showing(Discrete(3)), 2)) == {}
    env = FrameStackObservation(Showing(Box(-1.0, 1.0, (3,))), 2)
    for around in (Wrapper(env), FlattenObservation(env), Wrapper(RecordEpisodeStatistics(env))):
        assert frame_stacks_of(around) == {}
    assert frame_stacks_of(Turned(env.env, 2)) == {}, "a class of one's own"
    assert frame_stacks_of(FlattenObservation(FrameStackObservation(env, 2))) == {}
    env.frame_stacks = {}  # type: ignore[attr-defined]
    assert frame_stacks_of(RecordEpisodeStatistics(env)) == {}, "it says so itself"


def test_gymnasiums_stacks_of_a_dictionary_are_those_of_its_arrays() -> None:
    parts = Dict(
        {"a": Box(-1.0, 1.0, (3,)), "b.c": Box(0.0, 1.0, ()), "d": Dict(e=Box(1.0, 2.0, (2, 2))), "f": Discrete(2)}
        | {"action_mask": Box(0, 1, (2,), np.int8)}
    )
    zero, first = (FrameStackObservation(Showing(parts), 3, padding_type=padding) for padding in ("zero", "reset"))
    assert frame_stacks_of(zero) == dict.fromkeys(("a", "b.c"), (3, 0, False)), "e is padded with its least value"
    assert frame_stacks_of(first) == dict.fromkeys(("a", "b.c", "d.e"), (3, 0, True))


class Showing(Env):
    """Shows something of a space."""

    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, space: Any) -> None:
        self.observation_space = space


class Turned(FrameStackObservation):
    """May do anything."""


def test_frames_before_the_first_row_are_finite_too() -> None:
    with small("py:stacked_envs:before_it_nan", serial=True) as model:
        status = model.train(200)
        assert "environment 0 gave an observation 'obs' that is not finite" in status.error
        assert "at step 0 of its rollout" in status.error


def test_wrappers_of_rewards_change_nothing_and_others_may() -> None:
    scale = {"name": "reward-scale", "options": {"scale": 2}}
    with small("py:stacked_envs:stored_once", wrappers=[scale], serial=True) as model:
        assert stackings(model)
    with small("py:stacked_envs:stored_once", wrappers=[{"name": "frame-stack", "options": {"k": 2}}], serial=True) as model:
        assert stackings(model) == {"obs": (2, 0, True)}, "of the outer stack, whose frames are stacks"
        assert model.train(300) == 0


@pytest.mark.parametrize(
    ("stacks", "told"),
    [
        (
            {"obs": FrameStacking(3, 0, True)},
            r"has .*frames=3, axis=0, copies_first=True\) for observation 'obs', which is \[4\]",
        ),
        ({"obs": FrameStacking(2, 1, True)}, r"has .*axis=1, .* for observation 'obs', which is \[4\]"),
        ({"obs": FrameStacking(2, -1, True)}, r"has .*axis=-1, .* for observation 'obs', which is \[4\]"),
        ({"obs": FrameStacking(2.0, 0, True)}, r"has .*frames=2.0, .* for observation 'obs'"),  # type: ignore[arg-type]
        ({"obs": (4, 0, True)}, r"has \(4, 0, True\) for observation 'obs'"),
        ({"picture": FrameStacking(2, 0, True)}, "has 'picture', which is none of obs"),
        (4, "is 4"),
        (None, "is None"),
    ],
)
def test_a_description_that_cannot_be_is_refused(stacks: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_envs.Shuffled, "frame_stacks", stacks)
    with pytest.raises(UserError, match=f"frame_stacks of Shuffled {told}. It gives, by key of .*hides it"):
        frame_stacks_of(TimeLimit(stacked_envs.turned_round(), 5))


def test_a_run_asks_whether_a_description_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_envs.Shuffled, "frame_stacks", {"obs": 4})
    with pytest.raises(UserError, match="frame_stacks of Shuffled has 4 for observation 'obs'"):
        small("py:stacked_envs:turned_round", serial=True)
