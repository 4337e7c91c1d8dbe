"""Memory that a run's processes have had once stays with them.

glibc takes large blocks (those of a training step's activations, each time the same) from the kernel and gives them back. Every
page of them is then zeroed and mapped anew at every step: a third of the time of training and acting with images
(benchmarks/LOG.md).
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple


class _Setting(NamedTuple):
    variable: str  # in which the user's own value would be
    parameter: int  # of mallopt(3)
    value: int


_SETTINGS = (
    _Setting("MALLOC_MMAP_MAX_", -4, 0),  # no block is a mapping of its own, which is unmapped when it is freed
    _Setting("MALLOC_TRIM_THRESHOLD_", -1, 1 << 30),  # bytes at the end of the heap that are kept
    _Setting("MALLOC_TOP_PAD_", -2, 8 << 20),  # bytes by which it grows at least
)


def keep_memory() -> None:
    """Let this process, and those that it forks, keep freed memory for itself. What the user's environment says stands;
    where the C library has no such settings nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for variable, parameter, value in _SETTINGS:
        if variable not in os.environ:
            mallopt(parameter, value)
