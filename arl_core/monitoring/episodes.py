"""Returns, lengths and environment metrics over the last episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


class _Metric(NamedTuple):
    values: Values  # the newest reports, at most `window`, oldest first
    reported_at: int  # episodes of the run when the newest came


class EpisodeStatistics:
    """Statistics of the last `window` episodes, and the count of all.

    Not every episode reports every metric, and a worker's metrics may arrive before its episodes, so a metric is
    averaged over its own last `window` reports. One that `window` episodes have not reported is forgotten: keys that
    change from episode to episode cost no memory.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self._window = window
        self._returns: Values = np.empty(0)  # [n], n <= window, oldest first; so are the lengths
        self._lengths: Values = np.empty(0)
        self._metrics: dict[str, _Metric] = {}
        self._total = 0
        self._best: float | None = None

    def start_from(self, total: int) -> None:
        """Episodes that ended before this process began to count (a resumed run)."""
        self._total = total

    def add_many(
        self,
        returns: ArrayLike,
        lengths: ArrayLike,
        metrics: Mapping[str, ArrayLike] | None = None,
        count: int | None = None,
    ) -> None:
        """Add episodes, oldest first.

        `returns` and `lengths` (frames) are [n]; `metrics` maps a name to the values [m] that environments reported,
        where NaN is no report. `count` is how many episodes ended, where only the newest n of them are listed. Raises
        ValueError where shapes or counts do not fit.
        """
        new_returns, new_lengths = np.asarray(returns, np.float64), np.asarray(lengths, np.float64)
        ended = new_returns.size if count is None else count
        if new_returns.ndim != 1 or new_lengths.shape != new_returns.shape or ended < new_returns.size:
            raise ValueError(f"returns {new_returns.shape}, lengths {new_lengths.shape} and count {ended} do not fit")
        self._total += ended
        if new_returns.size:
            self._update_best(new_returns)
            self._returns = self._last(self._returns, new_returns)
            self._lengths = self._last(self._lengths, new_lengths)
        self._add_metrics(metrics or {})

    def _last(self, old: Values, new: Values) -> Values:
        return np.concatenate([old, new])[-self._window :]

    def _add_metrics(self, metrics: Mapping[str, ArrayLike]) -> None:
        for key, reported in metrics.items():
            values = np.asarray(reported, np.float64)
            values = values[~np.isnan(values)]
            if values.size:
                old = self._metrics[key].values if key in self._metrics else np.empty(0)
                self._metrics[key] = _Metric(self._last(old, values), self._total)
        oldest = self._total - self._window
        self._metrics = {key: metric for key, metric in self._metrics.items() if metric.reported_at > oldest}

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
        """The highest mean return of `window` listed episodes in a row; None before that many have ended."""
        return self._best

    @property
    def metric_means(self) -> dict[str, float]:
        """Mean of every metric over its last `window` reports, sorted by name."""
        return {key: float(self._metrics[key].values.mean()) for key in sorted(self._metrics)}
