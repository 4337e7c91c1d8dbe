"""Whole stacks for a batch whose observations were stored as frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arl_core.algorithms.batch import TrainingBatch
from arl_core.interfaces import FrameStacking
from arl_core.ipc.stacks import restack


@dataclass(frozen=True)
class FrameStacks:
    """Which observations of a batch are frames (key -> how they are stacked), and `began` [T+1, B]: the row is an episode's
    first. That stays in this memory, whatever the batch's device: what goes where is found without waiting for a GPU."""

    stackings: Mapping[str, FrameStacking]
    began: NDArray[np.bool_]

    def whole(self, batch: TrainingBatch) -> TrainingBatch:
        """The batch with stacks [T+1, B, ...] for its frames [T+k, B, ...], made where those lie."""
        made = {}
        for key, stacking in self.stackings.items():
            frames = batch.obs[key]
            shape = list(frames.shape[2:])
            shape[stacking.axis] *= stacking.frames
            made[key] = frames.new_empty((*self.began.shape, *shape))
            restack(frames, self.began, stacking, made[key])
        return replace(batch, obs=batch.obs | made, storage=None)
