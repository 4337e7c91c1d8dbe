"""Where every sampled frame is, by policy: read from the shared arrays, whoever keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import OwnFrames, SlotState
from arl_core.learning.process import BUSY, DROPPED_EPOCH, DROPPED_LAG, STAGED, TRAINED, VERSION


@dataclass(frozen=True)
class Balance:
    """Where every sampled frame is. At each pause `produced` equals the sum of the others."""

    produced: int
    trained: int
    dropped_lag: int
    dropped_epoch: int
    in_flight: int

    @property
    def exact(self) -> bool:
        """True when no frame is missing and none was counted twice."""
        return self.produced == self.trained + self.dropped_lag + self.dropped_epoch + self.in_flight


class Books:
    """Counts of one policy, or (None) the sum over all. Frames that snapshots played are nobody's, and are not counted."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._counts: NDArray[np.int64] = arena["learner.counts"]
        self._frames: NDArray[np.int64] = arena["group.frames"]
        self._own = [OwnFrames(arena, policy) for policy in range(len(self._counts))]
        self.loaded = np.zeros(len(self._counts), np.int64)  # of checkpoints: trained, but not by us

    def _policies(self, policy: int | None) -> list[int]:
        return list(range(len(self._counts))) if policy is None else [policy]

    def trained(self, policy: int | None = None) -> int:
        """Frames that were trained on, of the whole run."""
        return int(self._counts[self._policies(policy), TRAINED].sum())

    def is_busy(self, policy: int) -> bool:
        """Whether the policy's learner is within an iteration, after which it looks at its commands."""
        return bool(self._counts[policy, BUSY])

    def counts(self, policy: int | None = None) -> dict[str, int]:
        """`trained`, `sampled` (and handed over, or discarded), `dropped_lag`, `dropped_epoch`, `optimiser_steps`: running
        totals."""
        which = self._policies(policy)
        return {
            "trained": self.trained(policy),
            "sampled": int(self._frames[which, :, :2].sum()),
            "dropped_lag": int(self._counts[which, DROPPED_LAG].sum()),
            "dropped_epoch": int(self._counts[which, DROPPED_EPOCH].sum() + self._frames[which, :, 1].sum()),
            "optimiser_steps": int(self._counts[which, VERSION].sum()),
        }

    def balance(self, policy: int | None = None) -> Balance:
        """Exact while everything stands still."""
        which, counts = self._policies(policy), self.counts(policy)
        full = partial = 0
        for p in which:
            filled = np.flatnonzero(self._arena["slot.state"][p] == SlotState.FULL)
            full += sum(self._own[p].count(slot) for slot in filled.tolist())
            partial += sum(
                self._own[p].count(slot, t) for slot, t in self._arena["group.position"][:, :2].tolist() if slot >= 0
            )
        return Balance(
            produced=counts["sampled"] + partial,
            trained=counts["trained"] - int(self.loaded[which].sum()),
            dropped_lag=counts["dropped_lag"],
            dropped_epoch=counts["dropped_epoch"],
            in_flight=full + partial + int(self._counts[which, STAGED].sum()),
        )
