"""A memory fence for words that hand data over between processes.

x86 keeps stores in order by itself; ARM does not. Taking and releasing an uncontended lock is an atomic operation with
acquire and release ordering on every platform that CPython supports, and costs some tens of nanoseconds.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def fence() -> None:
    """Everything written before is visible to others before anything that is written after."""
    _lock.acquire()
    _lock.release()
