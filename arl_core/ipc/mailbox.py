"""Messages (commands, reports, statistics, errors) over faster-fifo, one producer and one consumer each.

faster-fifo's mutex is not robust: whoever is killed while holding it blocks every later user for ever. So the queue
changes hands like everything else here: a turn word says who may touch it. The producer fills it, gives the turn to the
consumer, and collects in its own memory until the turn comes back. A dead process keeps its turn, nobody else ever
waits for its mutex. Each hand-over moves a batch, so a message costs a share of one put and one get.
"""

from __future__ import annotations

import ctypes
import functools
import pickle
from typing import Any

import faster_fifo
import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import ArraySpec
from arl_core.ipc.bell import Bell
from arl_core.ipc.fence import fence

CAPACITY_BYTES = 256 * 1024
_PRODUCER, _CONSUMER = 0, 1
_SIZE_BYTES = ctypes.sizeof(ctypes.c_size_t)  # faster-fifo stores each message behind its size
MAX_MESSAGE_BYTES = CAPACITY_BYTES - _SIZE_BYTES


@functools.cache
def _fresh_queue_object() -> bytes:
    """The bytes of a newly made queue: an unlocked process-shared mutex, its conditions and cursors at zero."""
    queue = faster_fifo.Queue(max_size_bytes=CAPACITY_BYTES)
    return bytes(queue.queue_obj_buffer)


class _QueueInArena(faster_fifo.Queue):  # type: ignore[misc]  # faster-fifo ships no types
    """A faster-fifo queue whose memory lies in the run's anonymous arena instead of /dev/shm. Takes pickled messages."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        header = len(_fresh_queue_object())
        self.max_size_bytes = self.max_bytes_to_read = CAPACITY_BYTES
        self.maxsize = int(1e9)
        self.queue_obj_buffer = (ctypes.c_ubyte * header).from_buffer(memory.data, 0)
        self.shared_memory = (ctypes.c_ubyte * CAPACITY_BYTES).from_buffer(memory.data, header)
        self.message_buffer = faster_fifo.TLSBuffer(None)
        self.closed = ctypes.c_bool(False)
        self.last_error = None

    def dumps(self, obj: bytes) -> bytes:
        """The message as it is: it was pickled when it was posted."""
        return obj


def mailbox_specs(name: str, count: int) -> dict[str, ArraySpec]:
    """The shared arrays of `count` mailboxes: `<name>.turn` and `<name>.memory`."""
    size = len(_fresh_queue_object()) + CAPACITY_BYTES
    size += -size % 64
    return {f"{name}.turn": ArraySpec((count, 8), "int64"), f"{name}.memory": ArraySpec((count, size), "uint8")}


class Mailbox:
    """One end of a mailbox. `turn` [8] int64 (one used, a cache line), `memory` [size] uint8."""

    def __init__(self, turn: NDArray[np.int64], memory: NDArray[np.uint8], bell: Bell | None = None) -> None:
        self._turn = turn
        self._queue = _QueueInArena(memory)
        self._bell = bell
        self._pending: list[bytes] = []

    @staticmethod
    def initialise(turn: NDArray[np.int64], memory: NDArray[np.uint8]) -> None:
        """Make an empty mailbox in this memory, while nobody uses it: before the start, or after its process died."""
        fresh = _fresh_queue_object()
        memory[: len(fresh)] = np.frombuffer(fresh, np.uint8)
        fence()
        turn[0] = _PRODUCER

    def post(self, message: Any) -> None:
        """Producer: send `message`, now or with a later `flush`; never blocks.

        Raises ValueError for one of more than `MAX_MESSAGE_BYTES` pickled, and what pickling raises; nothing is sent then.
        """
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if len(content) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(content)} bytes, at most {MAX_MESSAGE_BYTES}: {str(message)[:200]}")
        self._pending.append(content)
        self.flush()

    def flush(self) -> bool:
        """Producer: hand over what is pending if it is our turn; never blocks. True when nothing is left."""
        if not self._pending:
            return True
        if self._turn[0] != _PRODUCER:
            return False
        fence()
        count = self._fitting()
        self._queue.put_many(self._pending[:count], block=False)
        del self._pending[:count]
        fence()
        self._turn[0] = _CONSUMER
        if self._bell is not None:
            self._bell.ring()
        return not self._pending

    def _fitting(self) -> int:
        """How many of the pending messages the empty queue can hold; at least one."""
        free = CAPACITY_BYTES
        for count, content in enumerate(self._pending):
            free -= _SIZE_BYTES + len(content)
            if free < 0:
                return count
        return len(self._pending)

    def take(self) -> list[Any]:
        """Consumer: all messages handed over since the last call; never blocks."""
        if self._turn[0] != _CONSUMER:
            return []
        fence()
        messages: list[Any] = []
        while not self._queue.empty():  # one call gets what fits into its buffer
            messages += self._queue.get_many(block=False)
        fence()
        self._turn[0] = _PRODUCER
        return messages
