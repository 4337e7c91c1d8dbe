"""Ctrl-C and SIGTERM: the first asks the run to end well, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class EndSignals:
    """A context in which the first signal is noted (`received`) and announced, the second raises KeyboardInterrupt
    with its number.

    Outside the main thread, where Python gives signals to nobody, it does nothing.
    """

    def __init__(self, announce: Callable[[int], None]) -> None:
        self.received = 0  # number of the first
        self._announce = announce
        self._before: dict[int, Any] = {}

    def __enter__(self) -> EndSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt(number)
        self.received = number
        self._announce(number)
