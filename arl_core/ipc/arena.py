"""Anonymous shared memory that holds every shared array of a run, declared once as a table of name, shape and dtype.

The memory is a memfd (an unlinked file where there is none): it has no name, so nothing is left behind when the run is
killed. Processes receive its descriptor and the same table, and see the same arrays.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, UserError
from arl_core.ipc.bell import close_when_forgotten

ALIGNMENT_BYTES = 64  # a cache line: two arrays never share one
_MEMORY_INFO = Path("/proc/meminfo")
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def _offsets(table: Mapping[str, ArraySpec]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    end = 0
    for name, spec in table.items():
        offsets[name] = end
        size = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        end += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return offsets, max(end, ALIGNMENT_BYTES)


def _available_bytes() -> float:
    """What the machine, or the container's limit, can give at most; infinity where neither says."""
    available = math.inf
    with contextlib.suppress(OSError):  # not Linux
        for line in _MEMORY_INFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = float(line.split()[1]) * 1024
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such limit, or the word "max"
            available = min(available, float(path.read_text()))
    return available


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arl", os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp(prefix="arl-")
    os.unlink(path)
    return descriptor


class Arena:
    """The shared arrays of one run."""

    def __init__(self, fd: int, table: Mapping[str, ArraySpec]) -> None:
        self.table = dict(table)
        offsets, self.size_bytes = _offsets(table)
        self._memory = mmap.mmap(fd, self.size_bytes)
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(spec.shape, spec.dtype, buffer=self._memory, offset=offsets[name]) for name, spec in table.items()
        }
        self.fd = fd
        self._closer: weakref.finalize[..., object] | None = None

    @classmethod
    def create(cls, table: Mapping[str, ArraySpec]) -> Arena:
        """Allocate zeroed memory for `table`. Raises UserError where the memory is not there."""
        _, size_bytes = _offsets(table)
        available = _available_bytes()
        if size_bytes > available:  # to ask for it would not fail: the kernel would end some process instead
            raise _no_memory(size_bytes, f"{available / 2**20:,.0f} MiB are available")
        try:
            fd = _anonymous_file()
        except OSError as error:
            raise _no_memory(size_bytes, str(error.strerror)) from None
        try:
            os.ftruncate(fd, size_bytes)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size_bytes)  # fail here, not by SIGBUS in the middle of training
            arena = cls(fd, table)
        except (OSError, OverflowError) as error:
            os.close(fd)
            raise _no_memory(size_bytes, str(getattr(error, "strerror", error))) from None
        arena._closer = close_when_forgotten(arena, (fd,))
        return arena

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def close(self) -> None:
        """Give up the descriptor, as also happens when the arena is forgotten where it was created; memory lives as long as an
        array of it does."""
        if self._closer is not None:
            self._closer.detach()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._arrays.clear()


def _no_memory(size_bytes: int, why: str) -> UserError:
    return UserError(
        f"no shared memory for the rollout slots ({size_bytes / 2**20:,.0f} MiB): {why}. "
        "Use fewer environments, a shorter rollout or smaller observations, or give the container more memory"
    )
