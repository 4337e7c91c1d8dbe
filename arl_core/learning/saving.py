"""When a learner saves, and what goes into its checkpoints. The same object in the learner's process and in serial mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from arl_core.learning.checkpoint import BEST, MILESTONES, save_only, save_state
from arl_core.learning.learner import Learner


class Saver:
    """Checkpoints of one policy in `folder` (None: only where a target is named): the newest `keep_checkpoints`, milestones
    that stay, and the best. `more` gives what is saved besides the learner."""

    def __init__(self, learner: Learner, folder: Path | None, more: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._learner = learner
        self._folder = folder
        self._more = more
        self._saved = self._milestone = time.monotonic()

    def save(self, target: Path | None = None) -> Path:
        """Write a checkpoint into the run's folder, or to `target` (a folder, or a file `*.pt`), where all others stay. Raises
        UserError."""
        self._saved = time.monotonic()  # also where it fails: it is tried again when the next one is due
        place = target or self._folder
        assert place is not None, "saving was asked for without a place"
        return self._write(place, keep=self._learner.cfg.keep_checkpoints if target is None else None)

    def _write(self, place: Path, keep: int | None) -> Path:
        learner = self._learner
        state = {"learner": learner.state_dict(), **self._more()}
        return save_state(place, state, version=learner.version, frames=learner.frames, keep=keep)

    def due(self) -> tuple[bool, bool]:
        """Whether `save_every_sec`, `save_milestones_sec` ask for a checkpoint now."""
        if self._folder is None:
            return False, False
        cfg, now = self._learner.cfg, time.monotonic()
        return now - self._saved > cfg.save_every_sec, 0 < cfg.save_milestones_sec < now - self._milestone

    def save_due(self, due: tuple[bool, bool] | None = None) -> list[Path]:
        """What is `due` (None: now). Raises UserError."""
        newest, milestone = due or self.due()
        written = []
        if milestone:
            assert self._folder is not None, "only a run with a directory has milestones"
            self._milestone = time.monotonic()
            written.append(self._write(self._folder / MILESTONES, keep=None))
        if newest:
            written.append(self.save())
        return written

    def save_best(self, best: Mapping[str, Any], weights: Tensor | None) -> Path:
        """Replace the best checkpoint; `best` says by which metric and value. `weights` [nbytes] are those that earned it,
        where they are not the present ones. Raises UserError."""
        assert self._folder is not None, "only a run with a directory has a best checkpoint"
        learner = self._learner
        state = {"learner": learner.state_dict(weights), "best": dict(best)}
        return save_only(self._folder / BEST, state, version=learner.version, frames=learner.frames)
