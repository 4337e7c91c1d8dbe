"""The policy worker: answers every waiting group in one forward pass (central inference)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arl_core.ipc.component import ComponentLink, post_metrics
from arl_core.ipc.fence import fence
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.usage import COPIES, INFERENCE, MESSAGES, Meter
from arl_core.sampling.replica import ReplicaSpec, make_actor

REPORT_INTERVAL_S = 0.25
MEASURED_ANSWERS = 32  # after each report


@dataclass(frozen=True)
class PolicyWorkerSpec:
    """What a policy worker needs besides its link. It serves `shape.served_groups(share, share_of)` for one policy."""

    shape: SlotShape
    replica: ReplicaSpec
    share: int
    share_of: int
    group_bells: tuple[int, ...]  # bell number of each group's rollout worker
    policy: int = 0


class PolicyWorker:
    """The loop of one policy worker."""

    def __init__(self, link: ComponentLink, spec: PolicyWorkerSpec) -> None:
        self.link = link
        served = spec.shape.served_groups(spec.share, spec.share_of)
        self.actor = make_actor(spec.replica, link.arena, spec.shape, served)
        mine = slice(served.start, served.stop)
        self._groups = np.arange(served.start, served.stop)
        self._request: NDArray[np.int64] = link.arena["group.request"][mine]
        self._answer: NDArray[np.int64] = link.arena["group.answer"][spec.policy, mine, 0]
        self._bells = [link.bells[number] for number in spec.group_bells[mine]]
        self._busy_s = 0.0
        self._reported = time.monotonic()
        self._size = spec.shape.group_size
        self.meter = Meter(MEASURED_ANSWERS)
        self._told = False  # that the network is not replayed as a graph

    def run(self) -> None:
        """Until STOP."""
        while True:
            if self.link.changed():
                if not self.link.obey(self._on_pause, lambda: None):
                    return
                self._reported, self._busy_s = time.monotonic(), 0.0
            if not self._answer_waiting():
                self.link.wait()
            now = time.monotonic()
            if now - self._reported > REPORT_INTERVAL_S:
                values = {"busy_s": self._busy_s, "elapsed_s": now - self._reported, "usage": self.link.usage(self.meter)}
                post_metrics(self.link, "inference", values)
                self._reported, self._busy_s = now, 0.0
                self._tell_refusal()

    def _tell_refusal(self) -> None:
        if self.actor.refusal and not self._told:
            self.link.outbox.post(("warning", f"acting without CUDA graphs, which is slower: {self.actor.refusal}"))
            self._told = True

    def _on_pause(self) -> None:
        """Rollout workers pause before us, so nothing is asked after this: no request outlives the weights it was made for."""
        self._answer_waiting()

    def _answer_waiting(self) -> bool:
        sequences = self._request[:, 2].copy()
        waiting = np.flatnonzero(sequences != self._answer)
        if not len(waiting):
            return False
        begin = time.perf_counter()
        fence()
        meter = self.meter
        rows, measured = len(waiting) * self._size, meter.on
        meter.rows += rows
        if measured:
            meter.begin()
        self.actor.refresh()
        if measured:
            meter.lap(COPIES)
        groups = self._groups[waiting].tolist()
        slots, times, _, repeated = self._request[waiting, :4].T.tolist()
        if len(groups) == 1:
            self.actor.act_one(groups[0], slots[0], times[0], repeated=bool(repeated[0]))
        else:
            self.actor.act_many(groups, slots, times, repeated)
        if measured:
            meter.lap(INFERENCE)
        fence()
        self._answer[waiting] = sequences[waiting]
        for bell in {self._bells[i] for i in waiting}:
            bell.ring()
        if measured:
            meter.lap(MESSAGES)
            meter.end(rows)
        self.link.control.beat()
        self._busy_s += time.perf_counter() - begin
        return True
