"""Anonymous shared memory that holds every shared array of a run, declared once as a table of name, shape and dtype.

The memory is a memfd (an unlinked file where there is none): it has no name, so nothing is left behind when the run is
killed. Processes receive its descriptor and the same table, and see the same arrays.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec, UserError

ALIGNMENT_BYTES = 64  # a cache line: two owners' words never share one


def _offsets(table: Mapping[str, ArraySpec]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    end = 0
    for name, spec in table.items():
        offsets[name] = end
        size = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
        end += -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return offsets, max(end, ALIGNMENT_BYTES)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arl", os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp(prefix="arl-")
    os.unlink(path)
    return descriptor


class Arena:
    """The shared arrays of one run."""

    def __init__(self, fd: int, table: Mapping[str, ArraySpec]) -> None:
        self.fd = fd
        self.table = dict(table)
        offsets, self.size_bytes = _offsets(table)
        self._memory = mmap.mmap(fd, self.size_bytes)
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(spec.shape, spec.dtype, buffer=self._memory, offset=offsets[name])
            for name, spec in table.items()
        }

    @classmethod
    def create(cls, table: Mapping[str, ArraySpec]) -> Arena:
        """Allocate zeroed memory for `table`. Raises UserError where the memory is not there."""
        fd = _anonymous_file()
        _, size_bytes = _offsets(table)
        try:
            os.ftruncate(fd, size_bytes)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, size_bytes)  # fail here, not by SIGBUS in the middle of training
        except OSError as error:
            os.close(fd)
            raise UserError(
                f"no shared memory for the rollout slots ({size_bytes / 2**20:.0f} MiB): {error.strerror}. "
                "Use fewer environments, a shorter rollout or smaller observations, or give the container more memory"
            ) from None
        return cls(fd, table)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def close(self) -> None:
        """Give up the descriptor; the memory lives as long as an array of it does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._arrays.clear()
