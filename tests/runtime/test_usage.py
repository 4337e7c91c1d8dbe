from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from arl_core.ipc.usage import PARTS, Meter
from arl_core.ipc.usage import usage as usage_of
from arl_core.runtime.engines.usage import UsageStatistics, share_between


def report(at_s: float, cpu_s: float, starved_s: float = 0.0, **parts: float) -> dict[str, Any]:
    return {
        "at_s": at_s,
        "cpu_s": cpu_s,
        "waited_s": at_s / 10,
        "starved_s": starved_s,
        "rings": int(at_s * 4),
        "rows": int(at_s * 100),
        "parts_s": {**dict.fromkeys(PARTS, 0.0), **parts},
    }


def test_what_a_process_does_with_a_second() -> None:
    share = share_between(report(10, 5.0, environment=2.0), report(12, 6.5, environment=3.0, copies=0.25))
    assert share.parts["environment"] == pytest.approx(0.5)
    assert share.cpu == pytest.approx(0.75)
    assert share.waiting == pytest.approx(0.1)
    assert share.other == pytest.approx(0.75 - 0.5 - 0.125)
    assert share.no_core == pytest.approx(0.15)
    assert (share.rows_per_s, share.rings_per_s) == (100, 4)


def test_efficiency_is_the_cores_share_of_useful_work() -> None:
    usage = UsageStatistics(cores=2)
    assert (usage.efficiency, usage.cores_busy) == (None, None)
    usage.take("rollout-0", report(0, 0.0))
    assert usage.efficiency is None, "one report says nothing yet"
    usage.take("rollout-0", report(1, 1.0, environment=0.6, inference=0.2, bookkeeping=0.2))
    usage.take("learner-0", report(0, 0.0))
    usage.take("learner-0", report(1, 0.5, training=0.4, copies=0.1))
    assert usage.efficiency == pytest.approx((0.8 + 0.4) / 2)
    assert usage.cores_busy == pytest.approx(0.75)


def test_what_others_take_is_what_was_wanted_and_not_ours() -> None:
    usage = UsageStatistics(cores=2)
    assert usage.cores_taken is None
    for sender in ("rollout-0", "rollout-1", "learner-0"):
        usage.take(sender, report(0, 0.0))
        usage.take(sender, report(1, 0.6, starved_s=0.3))
    assert usage.cores_taken == pytest.approx((2 - 3 * 0.6) / 2), "they stand in each other's way, too"
    alone = UsageStatistics(cores=8)
    alone.take("rollout-0", report(0, 0.0))
    alone.take("rollout-0", report(1, 0.6, starved_s=0.3))
    assert alone.cores_taken == pytest.approx(0.3 / 8), "nobody wanted the other cores"


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel does not tell")
def test_the_kernel_tells_of_a_core_that_somebody_else_has() -> None:
    allowed = os.sched_getaffinity(0)
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for pid in (0, rival.pid):
            os.sched_setaffinity(pid, {min(allowed)})
        before = usage_of(Meter(1), waited_s=0.0, rings=0)
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass
        share = share_between(before, usage_of(Meter(1), waited_s=0.0, rings=0))
    finally:
        rival.kill()
        rival.wait()
        os.sched_setaffinity(0, allowed)
    assert share.starved == pytest.approx(1.0 - share.cpu, abs=0.2)
    assert share.starved > 0.2


def test_a_pause_and_a_new_process_are_no_difference_of_two_reports() -> None:
    usage = UsageStatistics(cores=1)
    usage.take("rollout-0", report(0, 5.0))
    usage.clear()
    usage.take("rollout-0", report(100, 6.0))
    usage.take("rollout-0", report(101, 0.1))  # it died and was replaced
    assert usage.efficiency is None
