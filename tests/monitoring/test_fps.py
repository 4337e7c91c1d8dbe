import pytest

from arl_core.monitoring.fps import FpsMeter


def test_rate_of_a_steady_count_is_exact():
    meter = FpsMeter(window_s=10.0)
    rates = [meter.update(100 * second, float(second)) for second in range(30)]
    assert rates[0] == 0.0
    assert rates[1:] == [100.0] * 29


def test_rate_forgets_what_is_older_than_the_window():
    meter = FpsMeter(window_s=10.0)
    for second in range(11):
        meter.update(1000 * second, float(second))
    for second in range(11, 22):
        rate = meter.update(10_000, float(second))
    assert rate == 0.0


def test_rate_spans_at_least_a_whole_window():
    meter = FpsMeter(window_s=10.0)
    meter.update(0, 0.0)
    assert meter.update(1000, 4.0) == 250.0
    assert meter.update(1000, 10.0) == 100.0
    assert meter.update(1000, 12.5) == 80.0  # what was 10 s ago lies between two counts: from the earlier one
    assert meter.update(1000, 14.0) == 0.0


def test_resumed_count_does_not_start_at_zero():
    meter = FpsMeter()
    assert meter.update(5_000_000, 100.0) == 0.0
    assert meter.update(5_000_050, 101.0) == 50.0


def test_memory_is_bounded_by_the_window():
    meter = FpsMeter(window_s=1.0)
    for tick in range(1000):
        meter.update(tick, tick / 4)
    assert len(meter._counts) == 5


@pytest.mark.parametrize("later", [(5, 2.0), (20, 0.5)])
def test_going_back_is_an_error(later):
    meter = FpsMeter()
    meter.update(10, 1.0)
    with pytest.raises(ValueError, match="go back"):
        meter.update(*later)


def test_window_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        FpsMeter(0.0)
