from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from arl_core.ipc.arena import Arena
from arl_core.ipc.weights import WeightsBoard, weights_specs

SIZE_BYTES = 300_000  # a copy takes long enough to be overtaken


@pytest.fixture
def arena(make_arena: Any) -> Arena:
    made: Arena = make_arena(weights_specs(2, SIZE_BYTES))
    for policy in range(2):
        WeightsBoard(made, policy).clear()
    return made


def publish(board: WeightsBoard, version: int) -> None:
    board.buffer_to_write().fill(version % 251)
    board.publish(version)


def read(board: WeightsBoard) -> tuple[int, np.ndarray[Any, Any]]:
    target = np.zeros(SIZE_BYTES, np.uint8)
    return board.read_into(target), target


def test_nothing_to_read_before_the_first_publication(arena: Arena) -> None:
    board = WeightsBoard(arena, 0)
    assert board.version == -1
    with pytest.raises(RuntimeError, match="no weights were published"):
        read(board)


def test_the_latest_is_read_by_version_and_content(arena: Arena) -> None:
    board = WeightsBoard(arena, 0)
    for version in (0, 1, 2, 3, 10, 11, 1000):
        publish(board, version)
        assert board.version == version
        seen, content = read(WeightsBoard(arena, 0))
        assert seen == version
        assert (content == version % 251).all()
    assert WeightsBoard(arena, 1).version == -1, "policies are apart"


@pytest.mark.parametrize("version", [4, 5])
def test_a_version_that_does_not_rise_is_refused(arena: Arena, version: int) -> None:
    board = WeightsBoard(arena, 0)
    publish(board, 5)
    with pytest.raises(ValueError, match=f"version {version} was to be published after version 5"):
        board.publish(version)
    assert read(board)[0] == 5


def test_what_is_being_written_is_not_read(arena: Arena) -> None:
    board = WeightsBoard(arena, 0)
    for version in range(7):
        publish(board, version)
        board.buffer_to_write()[: SIZE_BYTES // 2] = 255  # and the writer dies here
        seen, content = read(board)
        assert seen == version
        assert (content == version).all()


def test_a_copy_that_was_overtaken_is_made_again(arena: Arena) -> None:
    board = WeightsBoard(arena, 0)
    publish(board, 3)
    arena["weights.mark"][0, 0] = -1  # a writer two versions on is filling the buffer that is being read
    results: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: results.append(read(board)), daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    publish(board, 4)
    thread.join(20.0)
    assert results[0][0] == 4
    assert (results[0][1] == 4).all()


def test_a_reader_that_races_a_writer_never_sees_a_torn_vector(arena: Arena, children: Any, wait_until: Any) -> None:
    board = WeightsBoard(arena, 0)
    pid = children.start("publish_for_ever", arena, pause_s=0.0)
    wait_until(lambda: board.version > 0)
    target, last, reads, changes = np.zeros(SIZE_BYTES, np.uint8), -1, 0, 0
    end = time.monotonic() + 1.0
    while time.monotonic() < end or changes < 20:
        version = board.read_into(target)
        assert version >= last
        assert (target == version % 251).all()
        changes += version != last
        last, reads = version, reads + 1
    children.kill(pid)
    assert reads >= changes


def test_a_writer_killed_at_any_moment_leaves_the_last_complete_vector(arena: Arena, children: Any, wait_until: Any) -> None:
    board = WeightsBoard(arena, 0)
    rng = np.random.default_rng(3)
    for _ in range(25):
        before = board.version
        pid = children.start("publish_for_ever", arena, pause_s=0.0)
        wait_until(lambda before=before: board.version > before)
        time.sleep(rng.uniform(0.0, 0.003))
        children.kill(pid)
        version, content = read(board)
        assert version == board.version > before
        assert (content == version % 251).all()
    publish(board, board.version + 1)  # a new writer goes on
    assert read(board)[0] == board.version
