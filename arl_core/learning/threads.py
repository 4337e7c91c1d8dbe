"""How many threads a learner computes on where the run does not say: as many as make the whole run faster."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

LEAST_BUSY = 0.9  # of its time: a learner that waits for batches longer than the rest does not set the pace
GAIN = 1.1  # what one more thread has to bring: less is noise
WINDOW_S = 3.0
WINDOW_ITERATIONS = 8
STEP_S = 0.002  # shorter optimiser steps gain nothing from threads, which have to be woken for each operation


class Threads:
    """Begins with one thread. While the learner is at work for `busy` of its time it tries one more, up to `most`, and goes
    back if the run does not train on a tenth more frames per second; then it stays. So a run that waits for its learner takes
    cores that are idle, and takes none from environments that need them."""

    def __init__(self, most: int, busy: float = LEAST_BUSY, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 1
        self._most = most
        self._busy = busy
        self._clock = clock
        self._before = 0.0  # frames per second with one thread less; 0: nothing is being tried
        self.begin()

    def begin(self) -> None:
        """Measure anew: the time until now was not training time."""
        self._begun = self._clock()
        self._busy_s, self._frames, self._steps, self._iterations = 0.0, 0, 0, 0

    def trained(self, seconds: float, frames: int, steps: int) -> str:
        """An iteration of `frames` frames and `steps` optimiser steps took `seconds`. May change torch's threads; returns what
        was found out."""
        if self._most == 1:
            return ""
        self._busy_s += seconds
        self._frames += frames
        self._steps += steps
        self._iterations += 1
        elapsed = self._clock() - self._begun
        if elapsed < WINDOW_S or self._iterations < WINDOW_ITERATIONS:
            return ""
        told = self._decide(self._frames / elapsed, self._busy_s / elapsed, self._busy_s / max(self._steps, 1))
        self.begin()
        return told

    def _decide(self, fps: float, busy: float, step_s: float) -> str:
        told = ""
        if self._before:
            gain, self._before = fps / self._before, 0.0
            told = f"{self.count} threads train {gain:.2f} times as fast as {self.count - 1}"
            if gain < GAIN:
                self._use(self.count - 1)
                self._most = 1  # that is settled
                return f"{told}: {self.count} it is"
        if self.count < self._most and busy >= self._busy and step_s >= STEP_S:
            self._before = fps
            self._use(self.count + 1)
        return told

    def _use(self, count: int) -> None:
        self.count = count
        torch.set_num_threads(count)
