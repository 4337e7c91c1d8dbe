"""Frames per second over a sliding window."""

from __future__ import annotations

from collections import deque


class FpsMeter:
    """The rate of a growing count over the last `window_s` seconds.

    Time is the caller's, so pauses can be left out of it and tests need no clock. The first count is where the window
    begins, so a resumed run does not count what an earlier process trained.
    """

    def __init__(self, window_s: float = 10.0) -> None:
        if not window_s > 0:
            raise ValueError(f"window_s must be positive, not {window_s}")
        self._window_s = window_s
        self._counts: deque[tuple[float, int]] = deque()  # (now, frames), oldest first

    def update(self, frames: int, now: float) -> float:
        """Note that `frames` were counted in total by `now` (seconds); return frames per second.

        Zero after the first call. Raises ValueError where time or count goes back.
        """
        if self._counts and (now < self._counts[-1][0] or frames < self._counts[-1][1]):
            raise ValueError(f"time and count must not go back: {self._counts[-1]} then {(now, frames)}")
        self._counts.append((now, frames))
        # The newest count that is at least a window old stays, so the rate always spans a whole window where it can.
        while len(self._counts) > 1 and self._counts[1][0] <= now - self._window_s:
            self._counts.popleft()
        began, count = self._counts[0]
        return (frames - count) / (now - began) if now > began else 0.0
