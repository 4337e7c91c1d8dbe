"""A memory fence for words that hand data over between processes.

x86 keeps stores in order by itself; ARM does not. Releasing a lock keeps what came before it before, taking one keeps what
comes after it after, and a lock is not taken before an earlier one was released. So two rounds of an uncontended lock are a
fence in both directions (one round is not: both sides may slip into it). They cost some tens of nanoseconds.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def fence() -> None:
    """What was read and written before stays before all that is read and written after, as other processes see it."""
    with _lock:
        pass
    with _lock:
        pass
