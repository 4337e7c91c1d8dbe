"""Returns, lengths and environment metrics over the last episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arl_core.interfaces import JSON

Values = NDArray[np.float64]


class EpisodeStatistics:
    """Statistics of the last `window` episodes, and the count of all.

    A metric is averaged over those episodes of the window that reported it (a NaN is no report); one that no episode of
    the window reported is forgotten, so keys that change from episode to episode cost no memory.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self._window = window
        self._returns: Values = np.empty(0)  # [n], n <= window, oldest first; so are all below
        self._lengths: Values = np.empty(0)
        self._metrics: dict[str, Values] = {}  # NaN where the episode did not report it
        self._total = 0
        self._best: float | None = None

    def add_many(self, returns: ArrayLike, lengths: ArrayLike, metrics: Sequence[Mapping[str, float]] = ()) -> None:
        """Add episodes in the order in which they ended.

        `returns` and `lengths` (frames) are [n]; `metrics` has one mapping an episode, or is empty. Raises ValueError
        where the sizes differ.
        """
        new_returns, new_lengths = np.asarray(returns, np.float64), np.asarray(lengths, np.float64)
        count = new_returns.size
        if new_returns.ndim != 1 or new_lengths.shape != new_returns.shape or len(metrics) not in (0, count):
            raise ValueError(
                f"returns {new_returns.shape}, lengths {new_lengths.shape} and metrics ({len(metrics)}) must match"
            )
        if count == 0:
            return
        self._total += count
        self._update_best(new_returns)
        self._add_metrics(metrics, count)
        self._returns = self._last(self._returns, new_returns)
        self._lengths = self._last(self._lengths, new_lengths)

    def _last(self, old: Values, new: Values) -> Values:
        return np.concatenate([old, new])[-self._window :]

    def _add_metrics(self, metrics: Sequence[Mapping[str, float]], count: int) -> None:
        recent = metrics[-self._window :]
        for key in self._metrics.keys() | {key for episode in recent for key in episode}:
            old = self._metrics.get(key, np.full(self._returns.size, np.nan))
            new = np.array([episode.get(key, np.nan) for episode in recent] or [np.nan] * count, np.float64)
            column = self._last(old, new)
            if np.isnan(column).all():
                self._metrics.pop(key, None)
            else:
                self._metrics[key] = column

    def _update_best(self, new: Values) -> None:
        """Look at every full window that ends within `new`, so that the best does not depend on how episodes arrive."""
        series = np.concatenate([self._returns[max(self._returns.size - self._window + 1, 0) :], new])
        if series.size < self._window:
            return
        sums = np.cumsum(np.concatenate([[0.0], series]))
        best = float(np.max(sums[self._window :] - sums[: -self._window])) / self._window
        self._best = best if self._best is None else max(self._best, best)

    @property
    def total(self) -> int:
        """Episodes that ended since the run began."""
        return self._total

    @property
    def return_mean(self) -> float | None:
        """Mean undiscounted return; None while no episode has ended."""
        return float(self._returns.mean()) if self._returns.size else None

    @property
    def return_std(self) -> float | None:
        """Standard deviation of the returns (population, ddof 0); None while no episode has ended."""
        return float(self._returns.std()) if self._returns.size else None

    @property
    def length_mean(self) -> float | None:
        """Mean length in frames; None while no episode has ended."""
        return float(self._lengths.mean()) if self._lengths.size else None

    @property
    def best_return_mean(self) -> float | None:
        """The highest mean return of `window` episodes in a row; None before that many have ended."""
        return self._best

    @property
    def metric_means(self) -> dict[str, float]:
        """Mean of every metric over those episodes of the window that reported it, sorted by name."""
        return {key: float(np.nanmean(self._metrics[key])) for key in sorted(self._metrics)}

    def state_dict(self) -> dict[str, JSON]:
        """Everything, in JSON types."""
        return {
            "total": self._total,
            "best_return_mean": self._best,
            "returns": self._returns.tolist(),
            "lengths": self._lengths.tolist(),
            "metrics": {
                key: [None if np.isnan(value) else value for value in column.tolist()]
                for key, column in self._metrics.items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Return to a saved state. A smaller window keeps the newest episodes. Raises KeyError for a missing entry."""
        keep = slice(-self._window, None)
        self._total = int(state["total"])
        self._best = None if state["best_return_mean"] is None else float(state["best_return_mean"])
        self._returns = np.asarray(state["returns"], np.float64)[keep]
        self._lengths = np.asarray(state["lengths"], np.float64)[keep]
        columns = {key: np.asarray(column, np.float64)[keep] for key, column in state["metrics"].items()}  # None is NaN
        self._metrics = {key: column for key, column in columns.items() if not np.isnan(column).all()}
