"""What an engine can do; the asynchronous and the serial one are used alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from arl_core.runtime.statistics import RunStatistics

TICK_S = 0.2  # between looks at the run


class ComponentFailure(RuntimeError):
    """A process of the run failed. `detail` is its traceback, where it could still send one."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


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


class Engine(Protocol):
    """Samples and learns. Between calls of `train` everything stands still, and can be read and changed."""

    statistics: RunStatistics
    saves: int  # checkpoints written

    def publish_initial(self, weights: Tensor) -> None:
        """The weights to start with, a flat byte vector; before `start`."""

    def start(self) -> None:
        """Start processes and environments, with the weights that were published."""

    def train(self, frames: int, seconds: float, tick: Callable[[], bool]) -> None:
        """Train until `frames` in total (or for `seconds`, 0: no limit), then pause. `tick` is called a few times a second
        and may return False to stop. Raises ComponentFailure."""

    @property
    def frames(self) -> int:
        """Frames trained, in total."""

    @property
    def version(self) -> int:
        """Version of the published weights."""

    def counts(self) -> Mapping[str, int]:
        """`sampled`, `dropped_lag`, `dropped_epoch`: running totals."""

    def balance(self) -> Balance:
        """The books, during a pause."""

    def weights(self) -> Tensor:
        """The present weights as a flat byte vector, by value."""

    def load_weights(self, weights: Tensor) -> None:
        """Act with other weights from the very next frame; what was sampled with the old ones is dropped."""

    def load_checkpoint(self, path: Path) -> None:
        """Go on from a checkpoint: weights, optimiser, counters, normalisers."""

    def save(self, target: Path | None = None) -> Path:
        """Write a checkpoint: into the run's folder, or to `target` (a folder, or a file `*.pt`)."""

    def save_best(self, best: Mapping[str, Any], *, evaluated: bool) -> None:
        """Replace the run's best checkpoint: the weights of the last evaluation, or the present ones. `best` says why."""

    def begin_evaluation(self) -> bool:
        """Evaluate the present weights; `statistics.evaluation` changes when that is done. False while one is under way."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Change hyperparameters of the running learner."""

    def close(self) -> None:
        """End everything, in bounded time. Idempotent."""


def byte_vector(size: int) -> Tensor:
    """A flat byte vector for weights."""
    return torch.empty(size, dtype=torch.uint8)
