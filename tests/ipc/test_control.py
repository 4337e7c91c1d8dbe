from __future__ import annotations

import os
from typing import Any

import pytest

from arl_core.ipc.arena import Arena
from arl_core.ipc.control import ComponentControl, ControlBlock, Role, Wanted, control_specs, wanted_of


@pytest.fixture
def arena(make_arena: Any) -> Arena:
    made: Arena = make_arena(control_specs(num_components=3, num_policies=2))
    return made


def test_a_command_is_one_word_that_says_what_is_wanted(arena: Arena) -> None:
    block = ControlBlock(arena)
    workers = [ComponentControl(arena, Role.ROLLOUT, 0), ComponentControl(arena, Role.ROLLOUT, 1)]
    learner = ComponentControl(arena, Role.LEARNER, 2)
    for wanted in Wanted:
        word = block.command(Role.ROLLOUT, wanted)
        assert wanted_of(word) is wanted
        assert [worker.word() for worker in workers] == [word, word]
    assert learner.word() == 0, "other roles do not hear it"


def test_every_command_has_a_new_epoch(arena: Arena) -> None:
    block = ControlBlock(arena)
    words = [block.command(role, wanted) for _ in range(3) for role in Role for wanted in (Wanted.RUN, Wanted.PAUSE)]
    assert len(set(words)) == len(words)
    assert words == sorted(words)
    assert 0 not in words, "zeroed memory is no command"


def test_an_acknowledgement_of_an_older_command_is_another_number(arena: Arena) -> None:
    block, worker = ControlBlock(arena), ComponentControl(arena, Role.ROLLOUT, 1)
    first = block.command(Role.ROLLOUT, Wanted.PAUSE)
    worker.acknowledge(first)
    assert block.ack[1] == first
    second = block.command(Role.ROLLOUT, Wanted.PAUSE)
    assert block.ack[1] != second
    worker.acknowledge(second)
    assert list(block.ack) == [0, second, 0]


def test_words_of_components_lie_on_cache_lines_of_their_own(arena: Arena) -> None:
    for name in ("component.ack", "component.heartbeat_ns", "control.wanted"):
        assert arena[name].strides[0] == 64


def test_the_parent_that_is_there_is_seen(arena: Arena) -> None:
    assert os.getppid() > 0
    assert not ComponentControl(arena, Role.ROLLOUT, 0).orphaned()
