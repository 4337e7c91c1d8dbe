"""What a group asks of a policy worker."""

from __future__ import annotations

from typing import Any

import pytest


def test_a_request_names_slot_and_row_and_is_answered_by_its_number(make_world: Any) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    request, answer = world.arena["group.request"][0], world.arena["group.answer"][0][0]
    for number in range(1, 8):
        runner.ready()
        runner.request_action()
        assert runner.waiting
        assert not runner.answered()
        assert request[:4].tolist() == [(number - 1) // 5, (number - 1) % 5, number, 0]
        actor.act_one(0, runner.slot, runner.t)
        answer[0] = request[2]
        assert runner.answered()
        runner.step()
        assert not runner.waiting


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_request_made_before_a_restart_is_made_again(make_world: Any, is_answered: bool) -> None:
    world = make_world()
    runner, actor = world.runner(), world.actor()
    request, answer = world.arena["group.request"][0], world.arena["group.answer"][0][0]
    for _ in range(2):
        assert runner.ready()
        actor.act_one(runner.index, runner.slot, runner.t)
        runner.step()
    runner.request_action()
    if is_answered:
        answer[0] = request[2]
    runner.restart_slot()
    assert not runner.waiting
    runner.ready()
    runner.request_action()
    assert request[:4].tolist() == [0, 0, 2, is_answered]
    assert not runner.answered()
    answer[0] = request[2]
    runner.step()
    runner.request_action()
    assert request[:4].tolist() == [0, 1, 3, 0]
