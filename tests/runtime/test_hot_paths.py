"""What one step costs in counts that are the same on every machine: calls made by our code, memory allocated, bytes copied.

The bounds are about half more than what was counted when they were written: they find a loop over environments,
or a copy, that somebody adds to a hot path. No time is measured.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tiny_envs import Bandit

import arl_core
from arl_core.config import Layer
from arl_core.registry import resolve_run, run_parts
from arl_core.runtime.measuring.parts import Stage
from arl_core.runtime.plan import make_plan

OURS = str(Path(arl_core.__file__).parent)


def stage_of(env: Any, rows: int, **fields: Any) -> Stage:
    resolved, found = resolve_run(Layer("test", {"env": env, "device": "cpu", "rollout": 16, "batch_size": 256, **fields}))
    return Stage(make_plan(resolved.config, found, run_parts(resolved.config)), rows)


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*args: Any, **fields: Any) -> Stage:
        made.append(stage_of(*args, **fields))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def calls_of(action: Callable[[], Any]) -> int:
    """Calls that code of arl_core makes: of Python functions (its own, and those of others) and of C functions."""
    count = 0

    def profile(frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        caller = frame if event == "c_call" else frame.f_back
        if event in {"call", "c_call"} and caller is not None and caller.f_code.co_filename.startswith(OURS):
            count += 1

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def in_the_middle(stage: Stage) -> None:
    """Some steps into a slot that was filled before: what happens once only has happened. A `Bandit` is at its first step."""
    runner = stage.runner
    stage.intake.inbox.release(stage.slot)
    for _ in range(3 * stage.plan.shape.rollout + 2):
        runner.ready()
        stage.actor.act_one(0, runner.slot, runner.t)
        runner.step()
        while (slot := stage.intake.inbox.oldest_full()) >= 0:
            stage.intake.inbox.release(slot)


@pytest.mark.parametrize(("env", "fixed", "each"), [(Bandit, 60, 2), ("maze", 90, 0)])
def test_calls_of_a_step(make_stage: Any, env: Any, fixed: int, each: float) -> None:
    for rows in (4, 32):
        stage = make_stage(env, rows)
        in_the_middle(stage)
        assert calls_of(stage.runner.step) <= fixed + each * rows


@pytest.mark.parametrize(("fields", "most"), [({}, 60), ({"use_rnn": True}, 200), ({"hidden_size": 256}, 120)])
def test_calls_of_acting_do_not_depend_on_the_number_of_environments(
    make_stage: Any, fields: dict[str, Any], most: int
) -> None:
    counts = []
    for rows in (4, 32):
        stage = make_stage(Bandit, rows, **fields)
        in_the_middle(stage)
        counts.append(calls_of(lambda s=stage: s.actor.act_one(0, s.runner.slot, s.runner.t)))
    assert counts[0] == counts[1] <= most


def test_calls_of_the_assembler_do_not_depend_on_the_size_of_a_slot(make_stage: Any) -> None:
    counts = []
    for rows in (4, 16):
        stage = make_stage(Bandit, rows)
        counts.append(calls_of(lambda s=stage: s.intake.assembler.add(s.slot)))
    assert counts[0] == counts[1] <= 60


def test_a_step_leaves_no_memory_behind_and_needs_little(make_stage: Any) -> None:
    stage = make_stage("maze", 64)
    in_the_middle(stage)

    def round_() -> None:
        runner = stage.runner
        runner.ready()
        stage.actor.act_one(0, runner.slot, runner.t)
        runner.step()
        while (slot := stage.intake.inbox.oldest_full()) >= 0:
            stage.intake.inbox.release(slot)

    tracemalloc.start()
    try:
        round_()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(64):
            round_()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 64 * 1024, "the episodes of four slots, which the next report takes away"
    assert peak - before < 256 * 1024, "less than the slot's own arrays once more"


def test_a_batch_is_copied_once(make_stage: Any) -> None:
    from arl_core.runtime.measuring.traffic import traffic

    stage = make_stage(Bandit, 4)
    assembler = stage.intake.assembler
    while not assembler.complete:
        assembler.add(stage.slot)
    copies = assembler.state_dict()
    copied = sum(copy.nbytes for name, copy in copies.items() if name not in {"column_versions", "cursor"})
    frames = stage.plan.cfg.batch_size
    assert copied / frames == pytest.approx(traffic(stage.plan.shape)["batch"], rel=0.01)
