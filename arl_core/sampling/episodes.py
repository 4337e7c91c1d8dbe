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
        self.returns = np.zeros(num_envs, np.float64)
        self.lengths = np.zeros(num_envs, np.int64)

    def advance(
        self,
        rewards: NDArray[np.float32],
        done: NDArray[np.bool_],
        valid: NDArray[np.bool_],
        owner: NDArray[np.int8] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int8] | None]:
        """Add a stretch of steps [T, E]; returns (returns [n], lengths [n], players [n]) of the episodes that ended in it.
        `owner` [T, E] says who played; None: there is one policy."""
        reward_sums = np.cumsum(rewards, axis=0, dtype=np.float64)
        length_sums = np.cumsum(valid, axis=0, dtype=np.int64)
        columns, times = np.nonzero(done.T)  # grouped by column, in the order of time
        if not len(columns):
            self.returns += reward_sums[-1]
            self.lengths += length_sums[-1]
            return np.empty(0, np.float32), np.empty(0, np.int32), None
        first = np.empty(len(columns), bool)
        first[0] = True
        np.not_equal(columns[1:], columns[:-1], out=first[1:])
        returns = self._differences(reward_sums[times, columns], first, self.returns[columns])
        lengths = self._differences(length_sums[times, columns], first, self.lengths[columns])
        last = np.append(first[1:], True)
        ended, at = columns[last], times[last]
        self.returns[ended] = 0.0
        self.lengths[ended] = 0
        reward_rest, length_rest = reward_sums[-1].copy(), length_sums[-1].copy()
        reward_rest[ended] -= reward_sums[at, ended]
        length_rest[ended] -= length_sums[at, ended]
        self.returns += reward_rest
        self.lengths += length_rest
        ours = ~np.isnan(returns)
        players = None if owner is None else owner[times, columns][ours]
        return returns[ours].astype(np.float32), lengths[ours].astype(np.int32), players

    @staticmethod
    def _differences(sums: NDArray[Any], first: NDArray[np.bool_], carried: NDArray[Any]) -> NDArray[Any]:
        """Sum of each episode: up to its end, less what stood at the end before it (or plus what an older slot carried)."""
        before = np.zeros_like(sums)
        before[1:] = sums[:-1]
        return np.where(first, sums + carried, sums - before)  # type: ignore[no-any-return]


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
