"""What the run's processes spend their time on, from their reports (see `ipc.usage`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arl_core.ipc.usage import PARTS, USEFUL

_SMOOTHING = 0.7  # from report to report


@dataclass(frozen=True)
class ProcessShare:
    """What one process did with one second: CPU seconds by part, all its CPU seconds, seconds in which it slept. What is left
    of the second it would have run and had no core."""

    parts: Mapping[str, float]
    cpu: float
    waiting: float
    rows_per_s: float
    rings_per_s: float  # of others' bells
    starved: float  # seconds in which it was ready and had no core, as the kernel counts them

    @property
    def other(self) -> float:
        """CPU seconds that belong to no measured part."""
        return max(self.cpu - sum(self.parts.values()), 0.0)

    @property
    def no_core(self) -> float:
        """Seconds in which it neither slept nor ran."""
        return max(1.0 - self.cpu - self.waiting, 0.0)


def share_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> ProcessShare:
    """What a process did between two of its reports."""
    seconds = max(float(after["at_s"]) - float(before["at_s"]), 1e-9)

    def rate(name: str) -> float:
        return (float(after[name]) - float(before[name])) / seconds

    parts = {part: (after["parts_s"][part] - before["parts_s"][part]) / seconds for part in PARTS}
    return ProcessShare(parts, rate("cpu_s"), rate("waited_s"), rate("rows"), rate("rings"), rate("starved_s"))


class UsageStatistics:
    """The newest report of each process, and what all of them make of `cores` cores."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self.newest: dict[str, Mapping[str, Any]] = {}
        self._useful: dict[str, float] = {}
        self._busy: dict[str, float] = {}
        self._starved: dict[str, float] = {}

    def clear(self) -> None:
        """Training was paused: no difference of two reports may span that."""
        self.newest.clear()

    def take(self, sender: str, report: Mapping[str, Any]) -> None:
        """One report of one process."""
        before, self.newest[sender] = self.newest.get(sender), report
        if before is None or report["cpu_s"] < before["cpu_s"]:  # its first, or that of the process that replaced it
            return
        share = share_between(before, report)
        useful = sum(share.parts[part] for part in USEFUL)
        for totals, value in ((self._useful, useful), (self._busy, share.cpu), (self._starved, share.starved)):
            totals[sender] = _SMOOTHING * totals.get(sender, value) + (1 - _SMOOTHING) * value

    @property
    def efficiency(self) -> float | None:
        """Part of the cores' time that goes into environments, network and training, 0..1; None before it is known."""
        return min(sum(self._useful.values()) / self._cores, 1.0) if self._useful else None

    @property
    def cores_busy(self) -> float | None:
        """Part of the cores' time that the run's processes take, 0..1; None before it is known."""
        return min(sum(self._busy.values()) / self._cores, 1.0) if self._busy else None

    @property
    def cores_taken(self) -> float | None:
        """Part of the cores' time, 0..1, in which others had a core that a process of the run was ready for: no more than the
        run's processes lacked, and no more than they had not themselves. None before it is known."""
        if not self._busy:
            return None
        return min(sum(self._starved.values()), max(self._cores - sum(self._busy.values()), 0.0)) / self._cores
