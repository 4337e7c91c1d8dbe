"""What a run shows while it trains: a live panel on a terminal, plain lines elsewhere.

This module does not import rich; `LiveView.create` does where there is a terminal.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from arl_core.files import discard
from arl_core.monitoring.bottleneck import bottleneck
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.formats import printable
from arl_core.monitoring.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL_S = 5.0

_log = logging.getLogger("arl")


class LiveView(ABC):
    """Shows a run. `update` a few times a second; `close` once at the end, whatever happened. A view that can no longer be
    written (its reader has left, its disk is full) is silent from then on: the run is not the worse for it."""

    @staticmethod
    def create(console: Console | None, title: str) -> LiveView:
        """A panel where `console` (None: standard output) is an interactive terminal, otherwise plain lines."""
        if stdout_is_live() if console is None else console.is_interactive:
            from arl_core.monitoring.terminal import TerminalView

            return TerminalView(console, title)
        return PlainView(sys.stdout if console is None else console.file, title)

    @abstractmethod
    def update(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> None:
        """Show the present state."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Print text (shown as it is: no markup, no control characters) that stays."""

    @abstractmethod
    def close(self, final: str) -> None:
        """End the view and leave `final` as its last line (nothing where empty). Idempotent."""


def stdout_is_live() -> bool:
    """Whether standard output shows a panel: it is a terminal, and not one of a machine's."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and os.environ.get("TERM") not in {"dumb", "unknown"}
        and not os.environ.get("CI")
    )


def give_up(stream: IO[str], error: Exception) -> None:
    """What a view that cannot write to `stream` does before it is silent."""
    discard(stream)
    _log.warning("progress cannot be shown any more, training goes on: %s", error)


def plain_line(snapshot: Snapshot, episodes: EpisodeStatistics) -> str:
    """`key=value` pairs, one space apart: the same keys in the same order, then `env/<metric>`; `-` for unknown."""
    pairs: dict[str, float | int | str | None] = {
        "frames": snapshot.frames,
        "target_frames": snapshot.target_frames or None,
        "seconds": round(snapshot.seconds, 1),
        "seconds_left": None if snapshot.seconds_left is None else round(snapshot.seconds_left),
        "fps": round(snapshot.fps),
        "episodes": episodes.total,
        "return_mean": episodes.return_mean,
        "return_std": episodes.return_std,
        "length_mean": episodes.length_mean,
        "policy_lag_mean": snapshot.policy_lag_mean,
        "policy_lag_max": snapshot.policy_lag_max,
        "slots_full": snapshot.slots_full,
        "slots_total": snapshot.slots_total,
        "learner_busy": snapshot.learner_busy,
        "sampler_waiting": snapshot.sampler_waiting,
        "inference_busy": snapshot.inference_busy,
        "efficiency": snapshot.efficiency,
        "dropped_frames": sum(snapshot.dropped_frames.values()),
        "bottleneck": bottleneck(snapshot).partition(":")[0],
        **{f"env/{'_'.join(key.split())}": mean for key, mean in episodes.metric_means.items()},
    }
    return " ".join(f"{key}={_plain(value)}" for key, value in pairs.items())


def _plain(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else str(value)


class PlainView(LiveView):
    """One `key=value` line every `interval_s` seconds, without colours or cursor movements; nothing where `file` is None, as
    standard output is for a process that was started without."""

    def __init__(
        self,
        file: IO[str] | None,
        title: str,
        *,
        interval_s: float = PLAIN_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._interval_s, self._clock = file, interval_s, clock
        self._printed_at = -float("inf")
        self._unprinted: tuple[Snapshot, EpisodeStatistics] | None = None
        self._closed = False
        self.message(title)

    def update(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> None:
        """Print a line, unless the last one is too recent."""
        self._unprinted = (snapshot, episodes)
        if self._clock() - self._printed_at >= self._interval_s:
            self._print_progress()

    def message(self, text: str) -> None:
        """Print text as it is."""
        if self._file is None:
            return
        try:
            print(printable(text, getattr(self._file, "encoding", None) or "utf-8"), file=self._file, flush=True)
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            lost, self._file = self._file, None
            give_up(lost, error)

    def close(self, final: str) -> None:
        """Print the newest state, where it has not been, and the final line."""
        if self._closed:
            return
        self._closed = True
        self._print_progress()
        if final:
            self.message(final)

    def _print_progress(self) -> None:
        if self._unprinted is None:
            return
        self._printed_at = self._clock()
        self.message(plain_line(*self._unprinted))
        self._unprinted = None
