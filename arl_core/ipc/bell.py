"""Doorbells: "something of yours has changed, look at the shared words". They carry no data and are never lost.

A bell is an eventfd (a pipe where there is none). Anyone may ring; its one owner waits, always with a time limit.
"""

from __future__ import annotations

import contextlib
import os
import select
import weakref

_ONE = (1).to_bytes(8, "little")


def close_when_forgotten(owner: object, fds: tuple[int, ...]) -> weakref.finalize[..., object]:
    """Have `fds` closed when nobody knows `owner` any more; `detach` takes it back."""
    closer = weakref.finalize(owner, _close_all, fds)
    closer.atexit = False  # the end of the process closes them
    return closer


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)


class Bell:
    """`ring()` from any process, `wait(timeout_s)` in the owner. A ring before the wait is not lost."""

    def __init__(self, fds: tuple[int, ...] | None = None) -> None:
        is_made_here = fds is None
        if fds is None:
            if hasattr(os, "eventfd"):
                fds = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC),)
            else:
                fds = os.pipe()
                for fd in fds:
                    os.set_blocking(fd, False)
        self.fds = fds
        self._closer = close_when_forgotten(self, fds) if is_made_here else None
        self.rings = 0  # by us
        self._poll: select.poll | None = None

    def ring(self) -> None:
        """Wake the owner, now or at its next wait."""
        self.rings += 1
        with contextlib.suppress(BlockingIOError):  # full: the owner has not looked yet, and will
            os.write(self.fds[-1], _ONE)

    def wait(self, timeout_s: float) -> bool:
        """Sleep until rung, at most `timeout_s` (a negative one is none). True if it was rung."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.fds[0], select.POLLIN)
        if not self._poll.poll(max(timeout_s, 0.0) * 1000.0):
            return False
        with contextlib.suppress(BlockingIOError):
            os.read(self.fds[0], 8 if len(self.fds) == 1 else 65536)
        return True

    def close(self) -> None:
        """Close the descriptors, as also happens when the bell is forgotten where it was made. Idempotent."""
        if self._closer is not None:
            self._closer.detach()
        _close_all(self.fds)
        self.fds, self._poll = (), None
