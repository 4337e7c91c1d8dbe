"""What the run's processes print, warnings of environments mostly, on its way to who shows it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_LONGEST_BYTES = 1 << 16  # of a line
_END_WAIT_S = 1.0  # for the last words, where a program that has not ended could still have more


class Output:
    """A pipe: processes print to `writer` as to a terminal. After `begin`, whole lines are shown."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._thread: threading.Thread | None = None

    def begin(self, show: Callable[[str], None]) -> None:
        """Show it from now on, what was printed before too; in a thread of its own."""
        self._thread = threading.Thread(target=self._read, args=(show,), daemon=True)
        self._thread.start()

    def _read(self, show: Callable[[str], None]) -> None:
        text = b""
        while part := os.read(self._reader, 1 << 16):  # many lines, where many are printed: shown at once
            lines, end, text = (text + part.replace(b"\r", b"\n")).rpartition(b"\n")
            if len(text) > _LONGEST_BYTES:  # it has no line ends
                lines, end, text = lines + end + text, b"\n", b""
            if end:
                show(lines.decode(errors="replace"))
        if text:
            show(text.decode(errors="replace"))
        os.close(self._reader)

    def close(self) -> None:
        """All who print have ended: wait until the last of it is shown."""
        os.close(self.writer)
        if self._thread is None:
            os.close(self._reader)
        else:
            self._thread.join(_END_WAIT_S)
