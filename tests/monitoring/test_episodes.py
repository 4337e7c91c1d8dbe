import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arl_core.monitoring.episodes import EpisodeStatistics

RETURNS = st.lists(st.floats(-1e6, 1e6), max_size=60)


def test_nothing_is_known_before_the_first_episode():
    statistics = EpisodeStatistics(4)
    statistics.add_many([], [])
    known = (statistics.return_mean, statistics.return_std, statistics.length_mean, statistics.best_return_mean)
    assert known == (None, None, None, None)
    assert statistics.total == 0
    assert statistics.metric_means == {}


def test_means_are_over_the_last_window():
    statistics = EpisodeStatistics(3)
    statistics.add_many(np.array([100.0, 1.0]), np.array([1, 10]))
    statistics.add_many(np.array([2.0, 6.0]), np.array([20, 30]))
    assert statistics.return_mean == 3.0
    assert statistics.return_std == pytest.approx(math.sqrt(14 / 3))
    assert statistics.length_mean == 20.0
    assert statistics.total == 4


def test_metric_is_averaged_over_its_own_reports():
    statistics = EpisodeStatistics(3)
    statistics.add_many([0, 0], [1, 1], {"success": np.array([1.0, 0.0]), "keys": np.array([math.nan, 4.0])})
    assert statistics.metric_means == {"keys": 4.0, "success": 0.5}
    statistics.add_many([0, 0], [1, 1], {"success": [0.0, 0.5]})
    assert statistics.metric_means == {"keys": 4.0, "success": pytest.approx(1 / 6)}


def test_metric_may_arrive_before_its_episode():
    statistics = EpisodeStatistics(3)
    statistics.add_many([], [], {"success": [1.0]}, 0)
    statistics.add_many([5.0], [1], {}, 1)
    assert (statistics.total, statistics.metric_means) == (1, {"success": 1.0})


def test_metric_that_is_reported_no_more_is_forgotten_after_a_window():
    statistics = EpisodeStatistics(3)
    statistics.add_many([0], [1], {"old": [1.0]})
    statistics.add_many([0, 0], [1, 1], {"old": [math.nan]})
    assert statistics.metric_means == {"old": 1.0}
    statistics.add_many([0], [1])
    assert statistics.metric_means == {}


def test_metric_keys_that_change_cost_no_memory():
    statistics = EpisodeStatistics(5)
    for episode in range(100):
        statistics.add_many([0], [1], {f"seed_{episode}": [1.0]})
    assert len(statistics.metric_means) == 5


def test_more_episodes_at_once_than_the_window_holds():
    statistics = EpisodeStatistics(2)
    statistics.add_many([1, 2, 3, 4], [1, 2, 3, 4], {"n": [1, 2, 3, 4]})
    assert (statistics.return_mean, statistics.length_mean, statistics.metric_means) == (3.5, 3.5, {"n": 3.5})
    assert statistics.total == 4


def test_episodes_that_are_not_listed_are_counted():
    statistics = EpisodeStatistics(2)
    statistics.add_many([1.0, 3.0], [5, 5], {}, 1000)
    assert (statistics.total, statistics.return_mean) == (1000, 2.0)


def test_best_waits_for_a_full_window():
    statistics = EpisodeStatistics(3)
    statistics.add_many([1000.0, 0.0], [1, 1])
    assert statistics.best_return_mean is None
    statistics.add_many([2.0], [1])
    assert statistics.best_return_mean == 334.0
    statistics.add_many([0.0], [1])
    assert statistics.best_return_mean == 334.0


@given(RETURNS, st.integers(1, 10), st.integers(1, 20))
def test_statistics_equal_the_plain_formula_however_episodes_arrive(returns, window, chunk):
    statistics = EpisodeStatistics(window)
    for start in range(0, len(returns), chunk):
        part = returns[start : start + chunk]
        statistics.add_many(part, [1] * len(part))
    windows = [np.mean(returns[end - window : end]) for end in range(window, len(returns) + 1)]
    assert statistics.total == len(returns)
    assert statistics.best_return_mean == (pytest.approx(max(windows), abs=1e-6) if windows else None)
    if returns:
        assert statistics.return_mean == pytest.approx(np.mean(returns[-window:]), abs=1e-6)
        assert statistics.return_std == pytest.approx(np.std(returns[-window:]), abs=1e-6)


@pytest.mark.parametrize(
    ("returns", "lengths", "count"), [([1.0], [1, 2], None), ([[1.0]], [[1]], None), ([1.0, 2.0], [1, 2], 1)]
)
def test_sizes_that_do_not_fit_are_an_error_and_change_nothing(returns, lengths, count):
    statistics = EpisodeStatistics(2)
    with pytest.raises(ValueError, match="do not fit"):
        statistics.add_many(returns, lengths, {}, count)
    assert statistics.total == 0


def test_window_must_hold_an_episode():
    with pytest.raises(ValueError, match="at least 1"):
        EpisodeStatistics(0)
