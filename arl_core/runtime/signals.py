"""Ctrl-C, SIGTERM and SIGHUP (the terminal was closed): the first asks the run to end well, the second ends it at once."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SAVE_WAIT_S = 60.0


class EndSignals:
    """A context in which the first signal is noted (`received`) and announced, the second raises KeyboardInterrupt
    with its number: but for SIGHUP, which shell and kernel both send, and which `nohup` has ignored.

    Outside the main thread, where Python gives signals to nobody, the end of the program counts as one, such as comes of a
    Ctrl-C that the main thread does not catch: it waits for the block. SIGTERM and SIGHUP end it without Python seeing that,
    unless the program has a handler for them: docs/python.md shows one.
    """

    def __init__(self, announce: Callable[[str], None]) -> None:
        self.received = 0  # number of the first
        self._announce = announce
        self._before: dict[int, Any] = {}
        self._process, self._left = os.getpid(), threading.Event()

    def __enter__(self) -> EndSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        else:
            atexit.register(self._on_end)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._left.set()
        atexit.unregister(self._on_end)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received:
            if number == signal.SIGHUP:
                return
            raise KeyboardInterrupt(number)
        self.received = number
        self._announce(f"signal {number}")

    def _on_end(self) -> None:
        if os.getpid() != self._process:  # a fork has nobody in the block
            return
        self.received = signal.SIGINT
        self._announce("the program ends")
        self._left.wait(_SAVE_WAIT_S)
