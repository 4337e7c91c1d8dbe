"""Publication of weights: one writer, any number of readers, nobody waits.

Three buffers in shared memory. The writer takes the mark off the oldest one, fills it, marks it with its version, and
then names it the latest. A reader copies the latest and looks at its mark again: if the writer has begun to overwrite it
meanwhile (it must have published twice during one copy), the reader takes the newer one. A writer that dies leaves the
last complete one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence

_BUFFERS = 3


def weights_specs(num_boards: int, size_bytes: int) -> dict[str, ArraySpec]:
    """`weights.latest` holds version * 3 + buffer; -1: nothing published yet."""
    return {
        "weights.latest": ArraySpec((num_boards, 8), "int64"),
        "weights.mark": ArraySpec((num_boards, _BUFFERS), "int64"),
        "weights.data": ArraySpec((num_boards, _BUFFERS, size_bytes), "uint8"),
    }


class WeightsBoard:
    """The published weights of one policy, or of a snapshot of one, as a byte vector [size_bytes] with a version."""

    def __init__(self, arena: Arena, number: int) -> None:
        self._latest: NDArray[np.int64] = arena["weights.latest"][number]
        self._mark: NDArray[np.int64] = arena["weights.mark"][number]
        self._data: NDArray[np.uint8] = arena["weights.data"][number]

    def clear(self) -> None:
        """Nothing is published yet; before any reader starts."""
        self._latest[0] = -1

    def begin(self, weights: NDArray[np.uint8]) -> None:
        """Publish the first weights [size_bytes], version 0; before any reader starts."""
        self.clear()
        self.buffer_to_write()[:] = weights
        self.publish(0)

    @property
    def version(self) -> int:
        """The latest complete version, -1 before the first."""
        return int(self._latest[0]) // _BUFFERS

    @property
    def _oldest(self) -> int:
        """The buffer behind the latest one; the first where there is none."""
        return (int(self._latest[0]) + 1) % _BUFFERS

    def buffer_to_write(self) -> NDArray[np.uint8]:
        """The buffer for the next `publish`, [size_bytes]; it is marked as torn from here on."""
        buffer = self._oldest
        self._mark[buffer] = -1
        fence()
        view: NDArray[np.uint8] = self._data[buffer]
        return view

    def publish(self, version: int) -> None:
        """Make what was written into `buffer_to_write()` the latest. Raises ValueError where `version` does not rise: a
        reader tells a torn copy by it."""
        if version <= self.version:
            raise ValueError(f"version {version} was to be published after version {self.version}")
        buffer = self._oldest
        fence()
        self._mark[buffer] = version
        fence()
        self._latest[0] = version * _BUFFERS + buffer

    def read_into(self, target: NDArray[np.uint8]) -> int:
        """Copy the latest weights into `target` [size_bytes]; returns their version. Never torn, never waits.

        Raises RuntimeError where nothing was published yet.
        """
        while True:
            latest = int(self._latest[0])
            if latest < 0:
                raise RuntimeError("no weights were published yet")
            version, buffer = divmod(latest, _BUFFERS)
            fence()
            np.copyto(target, self._data[buffer])
            fence()
            if self._mark[buffer] == version:
                return version
