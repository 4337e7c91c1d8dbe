"""Frames of stacked observations are stored once: what is trained on is what the environments showed, in every mode."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import stacked_envs
import torch
from gymnasium.wrappers import TimeLimit
from run_support import small

from arl_core.envs.make import frame_stacks_of
from arl_core.interfaces import FrameStacking, UserError

LOOKING: dict[str, Any] = {"encoder": "py:stacked_envs:Looking", "normalize_input": False}
POLICIES: dict[str, Any] = {"num_policies": 2, "policy_assignment": "random"}


def stackings(model: Any) -> Any:
    return model._trainer.plan.shape.stackings


def assert_equal(one: Any, other: Any) -> None:
    a, b = one.get_parameters(), other.get_parameters()
    assert {policy: list(each) for policy, each in a.items()} == {policy: list(each) for policy, each in b.items()}
    assert all(torch.equal(value, b[policy][key]) for policy, each in a.items() for key, value in each.items())


@pytest.mark.parametrize("kind", ["stored", "zeros"])
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
    fields = {**LOOKING, "serial": True, "seed": 3, **fields}
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
        said = r"says in frame_stacks that its observation 'obs' is FrameStacking\(frames=4, axis=0, copies_first=True\)"
        assert re.match(rf"(rollout-0: )?environment \d {said}", status.error)
        assert "restart" not in status.error, "it would be no other the next time"
        assert [record.message for record in caplog.records if record.levelno > logging.INFO] == [status.error]


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
