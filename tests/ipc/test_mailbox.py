from __future__ import annotations

import functools
import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.bell import Bell
from arl_core.ipc.mailbox import CAPACITY_BYTES, MAX_MESSAGE_BYTES, Mailbox, mailbox_specs

KILLS = 60
Box = tuple[Arena, Mailbox, Mailbox]  # the memory, the producer's end, the consumer's end


@pytest.fixture
def box(make_arena: Any) -> Box:
    arena = make_arena({**mailbox_specs("m", 2), "taken": ArraySpec((8,), "int64")})
    Mailbox.initialise(arena["m.turn"][0], arena["m.memory"][0])
    ends = [Mailbox(arena["m.turn"][0], arena["m.memory"][0]) for _ in range(2)]
    return arena, ends[0], ends[1]


def pickled_to(size_bytes: int) -> bytes:
    """A message of exactly so many bytes when pickled."""
    overhead = len(pickle.dumps(b"x" * 100_000, pickle.HIGHEST_PROTOCOL)) - 100_000
    message = b"x" * (size_bytes - overhead)
    assert len(pickle.dumps(message, pickle.HIGHEST_PROTOCOL)) == size_bytes
    return message


def test_messages_arrive_in_order_and_once(box: Box) -> None:
    _, producer, consumer = box
    assert consumer.take() == []
    producer.post({"array": [1, 2.5, None], "name": "first"})
    for number in range(5):  # it is the consumer's turn: these wait
        producer.post(number)
    assert consumer.take() == [{"array": [1, 2.5, None], "name": "first"}]
    assert consumer.take() == []
    assert producer.flush()
    assert consumer.take() == [0, 1, 2, 3, 4]
    assert consumer.take() == []


def test_flush_says_whether_anything_is_left(box: Box) -> None:
    _, producer, consumer = box
    assert producer.flush()
    producer.post("a")
    assert producer.flush(), "nothing is pending, whosever turn it is"
    producer.post("b")
    assert not producer.flush()
    consumer.take()
    assert producer.flush()
    assert consumer.take() == ["b"]


def test_arrays_travel_by_value(box: Box) -> None:
    _, producer, consumer = box
    array = np.arange(1000, dtype=np.float32)
    producer.post(("sampling", array))
    array[:] = 0
    ((kind, received),) = consumer.take()
    assert kind == "sampling"
    np.testing.assert_array_equal(received, np.arange(1000, dtype=np.float32))


def test_contents_survive_the_end_of_the_ring(box: Box) -> None:
    """Odd sizes, many times the capacity: every offset at which a message can wrap."""
    _, producer, consumer = box
    rng = np.random.default_rng(0)
    sent, received = [], []
    for number in range(400):
        message = (number, rng.bytes(int(rng.integers(0, 9001))))
        sent.append(message)
        producer.post(message)
        if number % 7 == 0:
            received += consumer.take()
    while not producer.flush():
        received += consumer.take()
    received += consumer.take()
    assert sum(len(content) for _, content in sent) > 5 * CAPACITY_BYTES
    assert received == sent


def test_more_than_fits_waits_for_the_next_turns(box: Box) -> None:
    _, producer, consumer = box
    producer.post("opens the turn of the consumer")
    for number in range(40):
        producer.post((number, bytes(20_000)))
    batches = []
    while True:
        batches.append(consumer.take())
        if producer.flush() and not batches[-1]:
            break
    assert [message[0] for batch in batches[1:] for message in batch] == list(range(40))
    sizes = [sum(20_000 for _ in batch) for batch in batches[1:]]
    assert max(sizes) <= CAPACITY_BYTES
    assert len([size for size in sizes if size]) == 4


def test_the_largest_message_passes_and_a_larger_one_harms_nothing(box: Box) -> None:
    _, producer, consumer = box
    with pytest.raises(ValueError, match=rf"a message of {MAX_MESSAGE_BYTES + 1} bytes, at most {MAX_MESSAGE_BYTES}"):
        producer.post(pickled_to(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(AttributeError, match="local object"):
        producer.post(lambda: None)
    for message in (pickled_to(MAX_MESSAGE_BYTES), "small", pickled_to(MAX_MESSAGE_BYTES)):
        producer.post(message)
    assert len(consumer.take()[0]) > 200_000
    producer.flush()
    assert consumer.take() == ["small"]
    producer.flush()
    assert len(consumer.take()[0]) > 200_000


def test_neither_side_touches_the_queue_out_of_turn(box: Box) -> None:
    """So a mutex that a dead process holds there can block nobody."""
    arena, producer, consumer = box
    memory = arena["m.memory"][0]
    fresh = memory.copy()
    memory[:] = 255
    assert consumer.take() == []
    assert (memory == 255).all()
    memory[:] = fresh
    producer.post("a")
    handed_over = memory.copy()
    memory[:] = 255
    producer.post("b")
    assert not producer.flush()
    assert (memory == 255).all()
    memory[:] = handed_over
    assert consumer.take() == ["a"]


def test_mailboxes_of_one_table_are_apart(box: Box) -> None:
    arena, producer, consumer = box
    Mailbox.initialise(arena["m.turn"][1], arena["m.memory"][1])
    other = Mailbox(arena["m.turn"][1], arena["m.memory"][1])
    producer.post("a")
    assert other.take() == []
    assert consumer.take() == ["a"]


def test_a_hand_over_rings_the_consumer(box: Box) -> None:
    arena, _, consumer = box
    bell = Bell()
    producer = Mailbox(arena["m.turn"][0], arena["m.memory"][0], bell)
    producer.post("a")
    assert bell.wait(0.0)
    producer.post("b")
    assert not bell.wait(0.0), "nothing was handed over"
    consumer.take()
    producer.flush()
    assert bell.wait(0.0)
    bell.close()


def test_nothing_is_left_in_shared_memory(box: Box, shared_names: Callable[[], set[str]]) -> None:
    _, producer, consumer = box
    before = shared_names()
    producer.post("a")
    assert consumer.take() == ["a"]
    assert shared_names() <= before


def test_a_producer_killed_at_any_moment_blocks_nobody(box: Box, children: Any, bounded: Callable[..., Any]) -> None:
    arena, _, consumer = box
    rng = np.random.default_rng(1)
    received = 0
    for kill in range(KILLS):
        pid = children.start("post_for_ever", arena, seed=kill)
        numbers = [number for number, _ in _take_first(consumer, bounded)]
        end = time.perf_counter() + rng.uniform(0.0, 0.01)
        while time.perf_counter() < end:
            numbers += [number for number, _ in consumer.take()]
        children.kill(pid)
        numbers += [number for number, _ in bounded(consumer.take)]
        assert bounded(consumer.take) == []
        assert numbers == list(range(len(numbers)))
        received += len(numbers)
        Mailbox.initialise(arena["m.turn"][0], arena["m.memory"][0])  # for the producer that comes in its place
    assert received > KILLS


def _take_first(consumer: Mailbox, bounded: Callable[..., Any]) -> Any:
    def take() -> list[Any]:
        while not (messages := consumer.take()):
            time.sleep(0.0002)
        return messages

    return bounded(take)


def test_a_consumer_killed_at_any_moment_blocks_nobody(box: Box, children: Any, bounded: Callable[..., Any]) -> None:
    arena = box[0]
    rng = np.random.default_rng(2)
    for _ in range(KILLS):
        producer = Mailbox(arena["m.turn"][0], arena["m.memory"][0])
        arena["taken"][0] = 0
        pid = children.start("take_for_ever", arena)
        posted = 0
        end = None
        while end is None or time.perf_counter() < end:
            if producer.flush():
                producer.post((posted, b"x" * int(rng.integers(0, 30_000))))
                posted += 1
            if end is None and arena["taken"][0]:
                end = time.perf_counter() + rng.uniform(0.0, 0.005)
        children.kill(pid)
        bounded(functools.partial(post_some, producer))  # collects, whether or not the turn ever comes back
        assert 0 < arena["taken"][0] <= posted
        Mailbox.initialise(arena["m.turn"][0], arena["m.memory"][0])


def post_some(producer: Mailbox) -> bool:
    for number in range(3):
        producer.post(number)
    producer.flush()
    return True
