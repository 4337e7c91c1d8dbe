from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from arl_core.learning.threads import GAIN, WINDOW_ITERATIONS, Threads


class Machine:
    """A learner whose iteration of 1,000 frames and 10 steps takes `seconds[threads]`, `waiting` of it besides, on a clock that
    goes on by just that."""

    def __init__(self, seconds: dict[int, float], most: int, waiting: float = 0.0) -> None:
        torch.set_num_threads(1)  # as in a new process
        self.now = 0.0
        self.seconds, self.waiting = seconds, waiting
        self.told: list[str] = []
        self.threads = Threads(most, clock=lambda: self.now)

    def run(self, iterations: int) -> list[int]:
        """The numbers of threads that were in use, in order."""
        seen = [self.threads.count]
        for _ in range(iterations):
            seconds = self.seconds[self.threads.count]
            self.now += seconds + self.waiting
            self.told += filter(None, [self.threads.trained(seconds, 1000, 10)])
            assert torch.get_num_threads() == self.threads.count
            if self.threads.count != seen[-1]:
                seen.append(self.threads.count)
        return seen


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_that_help_are_taken_and_the_first_that_does_not_is_given_back() -> None:
    machine = Machine({1: 1.0, 2: 0.6, 3: 0.45, 4: 0.44, 5: 0.1}, most=8)
    assert machine.run(200) == [1, 2, 3, 4, 3]
    assert machine.told[-1] == "4 threads train 1.02 times as fast as 3: 3 it is"
    assert float(machine.told[0].split()[3]) > 1 / 0.6 - 0.1 > GAIN


def test_no_more_than_there_are() -> None:
    assert Machine({1: 1.0, 2: 0.5}, most=2).run(100) == [1, 2]
    assert Machine({1: 1.0}, most=1).run(100) == [1]


def test_who_waits_for_batches_takes_no_cores() -> None:
    assert Machine({1: 1.0}, most=4, waiting=0.2).run(100) == [1]


def test_short_steps_stay_on_one_thread() -> None:
    assert Machine({1: 0.015}, most=4).run(2000) == [1]


def test_a_synchronous_learner_is_judged_by_the_run_alone() -> None:
    machine = Machine({1: 1.0, 2: 0.5}, most=2, waiting=1.0)
    machine.threads = Threads(2, 0.0, clock=lambda: machine.now)
    assert machine.run(100) == [1, 2]


def test_a_pause_is_no_slowness() -> None:
    machine = Machine({1: 1.0, 2: 0.5}, most=2)
    machine.run(WINDOW_ITERATIONS)
    assert machine.threads.count == 2
    machine.run(3)
    machine.now += 1000.0
    machine.threads.begin()
    assert machine.run(50) == [2]
