from __future__ import annotations

import time

import pytest

from arl_core.ipc.usage import COPIES, ENVIRONMENT, INFERENCE, TRAINING, Meter, usage


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_laps_are_cpu_seconds_of_their_part() -> None:
    meter = Meter(0)
    meter.begin()
    burn(0.01)
    meter.lap(TRAINING)
    time.sleep(0.05)
    meter.lap(COPIES)
    total = meter.total()
    assert 0.009 < total[TRAINING] < 0.03
    assert total[COPIES] < 0.01, "sleeping is no CPU time"
    assert total[ENVIRONMENT] == 0.0


def test_a_sample_stands_for_the_rounds_that_were_not_measured() -> None:
    meter = Meter(2)
    measured = 0
    for _ in range(20):
        meter.rows += 8
        if meter.on:
            measured += 1
            meter.begin()
            burn(0.002)
            meter.lap(INFERENCE)
            meter.end(8)
    assert measured == 2
    total = meter.total()[INFERENCE]
    assert total == pytest.approx(20 * 0.002, rel=0.5)
    assert meter.on, "the next sample begins with the report"
    assert meter.total()[INFERENCE] == total, "nothing was added since"


def test_what_was_not_measured_since_the_last_report_waits_for_the_next_sample() -> None:
    meter = Meter(1)
    meter.rows += 8
    assert meter.total()[INFERENCE] == 0.0
    meter.rows += 8
    meter.begin()
    burn(0.002)
    meter.lap(INFERENCE)
    meter.end(8)
    assert meter.total()[INFERENCE] >= 0.0039


def test_a_report_has_running_totals() -> None:
    meter = Meter(0)
    first = usage(meter, waited_s=1.0, rings=3)
    burn(0.005)
    second = usage(meter, waited_s=1.5, rings=4)
    assert 0.004 < second["cpu_s"] - first["cpu_s"] < 0.05
    assert second["at_s"] > first["at_s"]
    assert (second["waited_s"], second["rings"]) == (1.5, 4)
