"""What an engine can do; the asynchronous and the serial one are used alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from arl_core.interfaces import UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.weights import WeightsBoard
from arl_core.runtime.engines.books import Balance
from arl_core.runtime.engines.statistics import RunStatistics

TICK_S = 0.2  # between looks at the run


class Engine(Protocol):
    """Samples and learns. Between calls of `train` everything stands still, and can be read and changed."""

    statistics: RunStatistics
    saves: int  # checkpoints written

    def start(self, weights: Sequence[Tensor]) -> None:
        """Start processes and environments; `weights`, flat byte vectors, are those that each policy begins with."""

    def train(self, frames: int, seconds: float, tick: Callable[[], bool]) -> None:
        """Train until `frames` in total, over all policies (or for `seconds`, 0: no limit), then pause. `tick` is called a few
        times a second and may return False to stop. Raises ComponentFailure."""

    @property
    def frames(self) -> int:
        """Frames trained, in total, over all policies."""

    def counts(self, policy: int | None = None) -> Mapping[str, int]:
        """`trained`, `sampled`, `dropped_lag`, `dropped_epoch`, `optimiser_steps` of one policy (None: their sum): running
        totals."""

    def balance(self, policy: int | None = None) -> Balance:
        """The books of one policy (None: their sum), during a pause."""

    def weights(self, policy: int = 0) -> Tensor:
        """A policy's present weights as a flat byte vector, by value."""

    def load_weights(self, weights: Mapping[int, Tensor]) -> None:
        """Have policies act with other weights from the very next frame; what they sampled with the old ones is dropped."""

    def load_checkpoints(self, paths: Mapping[int, Path]) -> None:
        """Have policies go on from checkpoints: weights, optimiser, counters, normalisers, snapshots."""

    def save(self, target: Path | None = None) -> Path:
        """Write a checkpoint of every policy: into the run's folder, or to `target` (a folder, or a file `*.pt` where there is
        one policy). Returns that of policy 0."""

    def save_best(self, best: Mapping[str, Any], *, evaluated: bool, policy: int = 0) -> None:
        """Replace a policy's best checkpoint: the weights of the last evaluation, or the present ones. `best` says why."""

    def begin_evaluation(self) -> bool:
        """Evaluate the present weights; `statistics.evaluation` changes when that is done. False while one is under way."""

    def finish_evaluation(self, limit_s: float, go_on: Callable[[], bool]) -> bool:
        """During a pause: wait for the evaluation under way, for `limit_s` at most and while `go_on` says so. False where it
        has not ended: the next `train` goes on with it."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Change hyperparameters of the running learners."""

    def close(self) -> None:
        """End everything, in bounded time. Idempotent."""


def byte_vector(size: int) -> Tensor:
    """A flat byte vector for weights."""
    return torch.empty(size, dtype=torch.uint8)


def checkpoint_target(target: Path | None, policy: int, num_policies: int) -> Path | None:
    """Where a policy's checkpoint goes when one is asked for: each of several has a folder of its own. Raises UserError."""
    if target is None or num_policies == 1:
        return target
    if target.suffix == ".pt":
        raise UserError(f"{target} is one file, and this run has {num_policies} policies: name a folder")
    return target / f"p{policy}"


def publish_first(arena: Arena, shape: SlotShape, weights: Sequence[Tensor]) -> list[WeightsBoard]:
    """Publish the first `weights` of each policy, which are those of its snapshots too; returns the policies' boards."""
    boards = [WeightsBoard(arena, policy) for policy in range(shape.num_policies)]
    for policy, board in enumerate(boards):
        for each in (board, *(WeightsBoard(arena, player) for player in shape.snapshots_of(policy))):
            each.begin(weights[policy].numpy())
    return boards
