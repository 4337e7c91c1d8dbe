"""What a process spends its time on: CPU seconds by part, measured in a sample of its rounds.

The clock of CPU time is a system call, too dear for every step of a fast environment. So a worker measures one slot's worth
of steps after each report and lets them stand for all steps of that report.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

ENVIRONMENT, INFERENCE, TRAINING = "environment", "inference", "training"  # what a run is for: the rest is what it costs
COPIES, MESSAGES, BOOKKEEPING = "copies", "messages", "bookkeeping"
USEFUL = (ENVIRONMENT, INFERENCE, TRAINING)
PARTS = (*USEFUL, COPIES, MESSAGES, BOOKKEEPING)


class Meter:
    """CPU seconds of this process by part, in `rounds` rounds after each `total` (0: in all). `on` says whether the present
    round is measured; a round is `begin`, some `lap`s, `end`."""

    def __init__(self, rounds: int) -> None:
        self.on = True
        self.rows = 0  # environment rows that all rounds stepped, answered or trained on; counted by the owner
        self._rounds = self._left = rounds
        self._sampled = 0  # rows of the measured rounds
        self._rows_before = 0
        self._sample: dict[str, float] = {}
        self._total: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._cost = _cost_of_clock()
        self._mark = 0.0

    def begin(self) -> None:
        """A measured round, or a further stretch of it, begins."""
        self._mark = time.process_time()

    def lap(self, part: str) -> None:
        """Charge `part` with what was spent since the last lap, or the beginning."""
        now = time.process_time()
        self._sample[part] = self._sample.get(part, 0.0) + max(now - self._mark - self._cost, 0.0)
        self._mark = now

    def charge(self, part: str) -> None:
        """As `lap`, for work that is rare: the clock is read each time, and no sample stands for it."""
        now = time.process_time()
        self._total[part] += max(now - self._mark - self._cost, 0.0)
        self._mark = now

    def end(self, rows: int) -> None:
        """A measured round, which was about `rows` environment rows, has ended."""
        self._sampled += rows
        if self._rounds:
            self._left -= 1
            self.on = self._left > 0

    def total(self) -> Mapping[str, float]:
        """CPU seconds by part since the start; the sample stands for what was not measured. Begins a new sample."""
        if self._sampled or not self._rounds:
            scale = (self.rows - self._rows_before) / self._sampled if self._rounds else 1.0
            for part, seconds in self._sample.items():
                self._total[part] += seconds * scale
            self._rows_before, self._sampled = self.rows, 0
            self._sample.clear()
        self.on, self._left = True, self._rounds
        return dict(self._total)


def _cost_of_clock() -> float:
    """Seconds that one reading of the clock adds to a lap."""
    readings = [time.process_time() for _ in range(33)]
    return min(after - before for before, after in pairwise(readings))


def usage(meter: Meter, *, waited_s: float, rings: int) -> dict[str, Any]:
    """What a component adds to its reports. All counts and seconds are running totals of the process; the difference of two
    reports is what happened between their `at_s`. `rings`: of others' bells; `starved_s`: ready to run, without a core."""
    return {
        "at_s": time.monotonic(),
        "cpu_s": time.process_time(),
        "waited_s": waited_s,
        "starved_s": starved_s(),
        "rings": rings,
        "rows": meter.rows,
        "parts_s": meter.total(),
    }


def starved_s() -> float:
    """Seconds in which this process's main thread was ready and others had the cores; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
