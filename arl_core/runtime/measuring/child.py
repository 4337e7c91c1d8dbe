"""Measuring in a process of its own: with the memory settings of the run's processes, and nothing of the environment's left
in ours."""

from __future__ import annotations

import os
import pickle
import time
import traceback
from collections.abc import Mapping, Sequence

from arl_core.files import readable
from arl_core.interfaces import UserError
from arl_core.runtime.measuring.parts import Parts, PartsRequest, measure_parts
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import TORCH_PRELOAD, Nurseries

_POLL_S = 0.1


def measure_in_child(nurseries: Nurseries, request: PartsRequest, timeout_s: float, cure: str = "") -> Parts:
    """`measure_parts` in a process that the run's nursery starts. Raises UserError for what the user can mend,
    ComponentFailure where the environment failed, the process died or the time is over (`cure`: what to do then)."""
    nursery = nurseries.get(TORCH_PRELOAD)
    receiver, sender = os.pipe()
    try:
        nursery.share("parts", [sender])
    finally:
        os.close(sender)
    try:
        pid = nursery.spawn("parts", f"{__name__}:child_main", {"request": request})
        try:
            answer = _read(receiver, pid, time.monotonic() + timeout_s, cure)
        except BaseException:
            nursery.kill(pid)
            raise
    finally:
        os.close(receiver)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read(receiver: int, pid: int, deadline: float, cure: str) -> Parts | Exception:
    """One line, what `child_main` wrote. The nursery holds the other end too, so the child's death does not close it."""
    content = b""
    alive = True
    while not content.endswith(b"\n"):
        if readable([receiver], _POLL_S):
            content += os.read(receiver, 65536)
            continue
        if not alive:
            raise ComponentFailure("the process that measures has died; see the output above")
        if time.monotonic() > deadline:
            raise ComponentFailure(f"measuring took too long: an environment hangs, or is very slow{cure}")
        alive = _lives(pid)
    answer: Parts | Exception = pickle.loads(bytes.fromhex(content.decode()))
    return answer


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def child_main(*, fds: Mapping[str, Sequence[int]], request: PartsRequest) -> int:
    """The process: measure, answer, end."""
    answer: Parts | Exception
    try:
        answer = measure_parts(request)
    except UserError as error:
        answer = UserError(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # environments raise anything: the asker tells of it
        answer = ComponentFailure(f"{type(error).__name__}: {error}", traceback.format_exc())
    with open(fds["parts"][-1], "wb") as pipe:
        pipe.write(pickle.dumps(answer).hex().encode() + b"\n")
    return 0
