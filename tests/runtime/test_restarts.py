from __future__ import annotations

import time

from arl_core.runtime.engines.restarts import WITHIN_S, RestartBudget


def test_restarts_count_for_a_while() -> None:
    budget = RestartBudget(2, within_s=0.3)
    assert (budget.used, budget.take(), budget.take(), budget.used) == (0, 1, 2, 2)
    time.sleep(0.35)
    assert (budget.used, budget.take(), budget.used) == (0, 1, 1)


def test_a_crash_loop_uses_them_up() -> None:
    assert WITHIN_S == 3600.0, "as the configuration says of max_worker_restarts"
    budget = RestartBudget(10)
    assert [budget.take() for _ in range(10)] == list(range(1, 11))
    assert budget.used == budget.most == 10
