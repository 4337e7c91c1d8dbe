from __future__ import annotations

import threading

from arl_core.ipc.fence import fence


def test_any_number_of_threads_pass() -> None:
    passed: list[int] = []

    def many() -> None:
        for _ in range(2000):
            fence()
        passed.append(1)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert len(passed) == 4
