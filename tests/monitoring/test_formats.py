import pytest

from arl_core.monitoring.formats import count, duration, number, printable, short
from arl_core.monitoring.history import History


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (421_888, "421,888"), (1_234_567, "1.235M"), (12_345_678, "12.35M"), (123_456_789_012, "123.5G")],
)
def test_count(value, text):
    assert count(value) == text


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (250_000, "250k"), (1_000_000, "1M"), (1_500_000_000, "1.5G")])
def test_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.000"),
        (-0.934, "-0.934"),
        (1.0, "1.000"),
        (98.321, "98.32"),
        (123.45, "123.5"),
        (-1234.5, "-1,234"),
        (3e-5, "3.0e-05"),
        (2.5e8, "2.5e+08"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (185, "3m 05s"), (8040, "2h 14m"), (273_600, "3d 04h")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("a\tb\nc", "utf-8", "a       b\nc"),
        ("\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2J\rbell\x07", "utf-8", "red bell"),
        ("\x9b31m", "utf-8", "31m"),
        ("maze · 10", "ascii", "maze \\xb7 10"),
    ],
)
def test_printable_leaves_nothing_that_moves_the_cursor(text, encoding, shown):
    assert printable(text, encoding) == shown


def test_sparkline_spans_lowest_to_highest():
    history = History()
    assert history.sparkline(10) == ""
    for value in range(8):
        history.add(value)
    assert history.sparkline(10) == "▁▂▃▄▅▆▇█"
    assert history.sparkline(4) == "▁▃▆█"
    assert history.sparkline(10, ascii_only=True).isascii()


def test_flat_past_is_a_flat_line():
    history = History()
    for _ in range(5):
        history.add(3.0)
    assert history.sparkline(10) == "▁▁▁▁▁"


def test_history_keeps_all_of_the_past_in_bounded_space():
    history = History(points=8)
    for value in range(10_000):
        history.add(value)
    assert 8 <= len(history._points) < 16
    assert history._points == sorted(history._points)
    assert history._points[0] == pytest.approx((history._stride - 1) / 2)  # the mean of the first `stride` values
