from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arl_core.interfaces import EpisodeEnds
from arl_core.sampling.episodes import MAX_METRICS, MAX_REPORTED, EpisodeReport, EpisodeTracker


def naive(rewards: Any, done: Any, valid: Any) -> list[list[tuple[float, int]]]:
    """Episodes of each environment, in order, and what is left at the end: step by step."""
    found = []
    for column in range(rewards.shape[1]):
        episodes, total, length = [], 0.0, 0
        for t in range(len(rewards)):
            total += float(rewards[t, column])
            length += int(valid[t, column])
            if done[t, column]:
                episodes.append((total, length))
                total, length = 0.0, 0
        found.append([*episodes, (total, length)])
    return found


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_equals_a_loop_over_steps(data: st.DataObject) -> None:
    envs = data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    seed = data.draw(st.integers(0, 2**32 - 1))
    often = data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    done = rng.random((steps, envs)) < often
    valid = np.ones_like(done)
    for t in range(1, steps):  # the step after an ending is a reset: no frame, no reward, no ending
        valid[t] = ~done[t - 1]
        done[t] &= valid[t]
    rewards = (rng.normal(size=(steps, envs)) * 10).astype(np.float32) * valid
    tracker = EpisodeTracker(envs)
    returns: list[list[float]] = [[] for _ in range(envs)]
    sizes: list[list[int]] = [[] for _ in range(envs)]
    begin = 0
    for length in lengths:
        part = slice(begin, begin + length)
        begin += length
        owner = np.broadcast_to(np.arange(envs, dtype=np.int8) % 3, done[part].shape)
        ended = tracker.advance(rewards[part], done[part], valid[part], owner)
        assert ended[0].dtype == np.float32
        assert ended[1].dtype == np.int32
        order = np.nonzero(done[part].T)[0]  # by environment, then by time
        assert (ended[2] if len(order) else order).tolist() == (order % 3).tolist()  # who played
        assert len(order) == len(ended[0]) == len(ended[1])
        for column, value, size in zip(order, *ended[:2], strict=True):
            returns[column].append(value)
            sizes[column].append(size)
    for column, episodes in enumerate(naive(rewards, done, valid)):
        *over, (rest, rest_length) = episodes
        np.testing.assert_allclose(returns[column], [total for total, _ in over], rtol=1e-5, atol=1e-4)
        assert sizes[column] == [length for _, length in over]
        np.testing.assert_allclose(tracker.returns[column], rest, rtol=1e-9, atol=1e-9)
        assert tracker.lengths[column] == rest_length


def test_long_sums_do_not_lose_small_rewards() -> None:
    tracker = EpisodeTracker(1)
    ones = np.ones((1000, 1), bool)
    first = np.full((1000, 1), 0.001, np.float32)
    first[0] = 1e7
    for _ in range(10):
        tracker.advance(first, ~ones, ones)
        first[0] = 0.001
    end = np.zeros((1000, 1), bool)
    end[-1] = True
    last = first.copy()
    last[-1] = -1e7
    returns, lengths, _ = tracker.advance(last, end, ones)
    np.testing.assert_allclose(returns, [11_000 * 0.001], rtol=1e-3)
    assert lengths.tolist() == [11_000]


def test_a_report_counts_all_and_lists_the_newest() -> None:
    report = EpisodeReport()
    total = 3 * MAX_REPORTED + 7
    for begin in range(0, total, 5):
        numbers = np.arange(begin, min(begin + 5, total))
        report.add(numbers.astype(np.float32), numbers.astype(np.int32))
    message = report.message()
    assert message["count"] == total
    newest = np.arange(total - MAX_REPORTED, total)
    np.testing.assert_array_equal(message["returns"], newest)
    np.testing.assert_array_equal(message["lengths"], newest)
    report.clear()
    assert report.message()["count"] == 0
    assert len(report.message()["returns"]) == 0


@pytest.mark.parametrize(
    "sizes", [[1], [MAX_REPORTED], [MAX_REPORTED + 1], [3, MAX_REPORTED], [MAX_REPORTED, 3], [500, 1, 500]]
)
def test_parts_of_any_size(sizes: list[int]) -> None:
    report, added = EpisodeReport(), []
    for size in sizes:
        part = np.arange(size, dtype=np.float32) + len(added)
        report.add(part, part.astype(np.int32))
        added += part.tolist()
    assert report.message()["returns"].tolist() == added[-MAX_REPORTED:]


def test_no_episode_is_no_change() -> None:
    report = EpisodeReport()
    report.add(np.empty(0, np.float32), np.empty(0, np.int32))
    message = report.message()
    assert message["count"] == 0
    assert (message["returns"].dtype, message["lengths"].dtype, message["metrics"]) == (np.float32, np.int32, {})


def test_metrics_are_listed_by_name() -> None:
    report = EpisodeReport()
    report.add_metrics(EpisodeEnds(np.array([0, 2]), {"score": np.array([1.0, np.nan]), "solved": np.array([0.0, 1.0])}))
    report.add_metrics(EpisodeEnds(np.array([1]), {"score": np.array([5.0])}))
    metrics = report.message()["metrics"]
    np.testing.assert_array_equal(metrics["score"], [1, np.nan, 5])
    np.testing.assert_array_equal(metrics["solved"], [0, 1])


def test_a_report_is_bounded_in_memory_and_as_a_message() -> None:
    """Nobody takes it, environments invent names without end: it still fits into a mailbox."""
    import pickle
    import tracemalloc

    from arl_core.ipc.mailbox import MAX_MESSAGE_BYTES

    report = EpisodeReport()
    ends = [EpisodeEnds(np.arange(4), {f"metric {k}": np.ones(4) for k in range(2 * MAX_METRICS)}) for _ in range(2)]
    sizes = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(5 * MAX_REPORTED):
            report.add(np.ones(4, np.float32), np.ones(4, np.int32))
            report.add_metrics(EpisodeEnds(ends[0].rows, {key: values.copy() for key, values in ends[1].metrics.items()}))
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] < sizes[0] * 1.2
    message = report.message()
    assert len(message["metrics"]) == MAX_METRICS
    assert len(pickle.dumps(message)) < MAX_MESSAGE_BYTES
