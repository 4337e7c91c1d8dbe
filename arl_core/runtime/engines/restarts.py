"""How often workers may be restarted before a run is given up."""

from __future__ import annotations

import time

WITHIN_S = 3600.0  # an environment that crashes now and then ends no run of days; one that always crashes does at once


class RestartBudget:
    """At most `most` restarts within an hour."""

    def __init__(self, most: int, within_s: float = WITHIN_S) -> None:
        self.most = most
        self._within_s = within_s
        self._taken: list[float] = []  # when

    @property
    def used(self) -> int:
        """Restarts that count at present."""
        now = time.monotonic()
        self._taken = [at for at in self._taken if now - at < self._within_s]
        return len(self._taken)

    def take(self) -> int:
        """Use one; returns how many are used with it."""
        self._taken.append(time.monotonic())
        return self.used
