"""Returns and lengths of episodes, computed once per slot from its arrays instead of once per step."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import MAX_PLAYERS, EpisodeEnds

MAX_REPORTED = 200  # episodes listed in one report: the newest; with MAX_METRICS it bounds the size of a message
MAX_METRICS = 64  # different numbers that environments may report


class EpisodeTracker:
    """Follows the episodes of one group's E rows from slot to slot. One whose return is NaN, because somebody else began it,
    is not told of."""

    def __init__(self, num_envs: int) -> None:
        self._carried = np.zeros((2, num_envs))  # of episodes under way
        self.returns, self.lengths = self._carried  # views

    def advance(
        self,
        rewards: NDArray[np.float32],
        done: NDArray[np.bool_],
        valid: NDArray[np.bool_],
        owner: NDArray[np.int8] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int8] | None]:
        """Add a stretch of steps [T, E]; returns (returns [n], lengths [n], players [n]) of the episodes that ended in it.
        `owner` [T, E] says who played; None: there is one policy."""
        columns, times = np.nonzero(done.T)  # grouped by column, in the order of time
        if not len(columns):
            self.returns += np.add.reduce(rewards, 0, np.float64)
            self.lengths += np.add.reduce(valid, 0, np.float64)
            return np.empty(0, np.float32), np.empty(0, np.int32), None
        sums = np.empty((2, *rewards.shape))  # both at once: this comes once in a slot, so a call costs more than its numbers
        np.cumsum(rewards, axis=0, dtype=np.float64, out=sums[0])
        np.cumsum(valid, axis=0, dtype=np.float64, out=sums[1])
        at_end = sums[:, times, columns]
        later = 1 + np.flatnonzero(columns[1:] == columns[:-1])  # not the first to end in their column
        before = -self._carried[:, columns]  # what an older slot carried
        before[:, later] = at_end[:, later - 1]
        episodes = at_end - before
        last = np.append(columns[1:] != columns[:-1], True)
        ended = columns[last]
        self._carried[:, ended] = -at_end[:, last]
        self._carried += sums[:, -1]
        ours = ~np.isnan(episodes[0])
        players = None if owner is None else owner[times, columns][ours]
        return episodes[0, ours].astype(np.float32), episodes[1, ours].astype(np.int32), players


class _Newest:
    """The newest `MAX_REPORTED` of the values that were added; holds no more than it must."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._parts: deque[NDArray[Any]] = deque()
        self._size = 0

    def add(self, values: NDArray[Any]) -> None:
        self._parts.append(values)
        self._size += len(values)
        while self._size - len(self._parts[0]) >= MAX_REPORTED:
            self._size -= len(self._parts.popleft())

    def values(self) -> NDArray[Any]:
        return np.concatenate(self._parts)[-MAX_REPORTED:] if self._parts else np.empty(0, self._dtype)


class EpisodeReport:
    """What happened since the last report to the trainer. Bounded: only the newest episodes are listed, all are counted."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.count = 0
        self._counts = np.zeros(MAX_PLAYERS, np.int64)
        self._returns = _Newest(np.float32)
        self._lengths = _Newest(np.int32)
        self._players = _Newest(np.int8)
        self._metrics: dict[str, _Newest] = {}

    def add(self, returns: NDArray[np.float32], lengths: NDArray[np.int32], players: NDArray[np.int8] | None = None) -> None:
        """Add episodes that ended; `players`: who played them, where the run has several policies or self-play."""
        if len(returns):
            self.count += len(returns)
            self._returns.add(returns)
            self._lengths.add(lengths)
            if players is not None:
                self._players.add(players)
                self._counts += np.bincount(players, minlength=MAX_PLAYERS)

    def add_metrics(self, ends: EpisodeEnds) -> None:
        """Add what environments reported at the ends of episodes."""
        for key, values in ends.metrics.items():
            if key in self._metrics or len(self._metrics) < MAX_METRICS:
                self._metrics.setdefault(key, _Newest(np.float64)).add(values)

    def message(self) -> Mapping[str, Any]:
        """`count`, and `returns`, `lengths` and metrics of the newest episodes, oldest first. Where several play, also
        `players` of the newest episodes and `counts` of all, by player; otherwise these say nothing."""
        return {
            "count": self.count,
            "returns": self._returns.values(),
            "lengths": self._lengths.values(),
            "players": self._players.values(),
            "counts": self._counts,
            "metrics": {key: values.values() for key, values in self._metrics.items()},
        }
