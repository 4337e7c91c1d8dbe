"""While a run trains: when its weights are evaluated, and which of them are its best."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.learning.checkpoint import BEST, load_best
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import Snapshot
from arl_core.runtime.engines.engine import Engine

MAX_WAIT_S = 60.0  # for the evaluation under way when training ends
QUIET_S = 1.0  # of that wait nothing is said
EVALUATED = "eval/"  # begins the names of an evaluation's metrics
log = logging.getLogger("arl")


class PeriodicEvaluation:
    """Asks the engine for an evaluation where `eval_every_sec` or `eval_every_frames` have passed since the last one began.
    There is never more than one: one that takes longer than its period delays the next."""

    def __init__(self, cfg: RunConfig) -> None:
        self._cfg = cfg
        self._last: tuple[float, int] | None = None  # seconds of training, frames

    def consider(self, engine: Engine, snapshot: Snapshot) -> None:
        """Called a few times a second, during training."""
        cfg = self._cfg
        if self._last is None or snapshot.frames < self._last[1]:  # the first look, or an older checkpoint was loaded
            self._last = snapshot.seconds, snapshot.frames
        seconds, frames = snapshot.seconds - self._last[0], snapshot.frames - self._last[1]
        due = 0 < cfg.eval_every_sec <= seconds or 0 < cfg.eval_every_frames <= frames
        if due and engine.begin_evaluation():
            self._last = snapshot.seconds, snapshot.frames

    def finish(self, engine: Engine, trained_s: float, go_on: Callable[[], bool]) -> None:
        """At the end of a call of `train` that has trained for `trained_s` (infinite: a whole run): have the evaluation under
        way count, unless that takes too long. Where a program trains in many short calls, it goes on in the next one."""
        limit_s, begin, told = min(MAX_WAIT_S, trained_s), time.monotonic(), False

        def wait_on() -> bool:
            nonlocal told
            if not told and time.monotonic() - begin > QUIET_S:
                log.warning("waiting for the evaluation under way, for %.0f s at most; Ctrl-C ends the wait", limit_s)
                told = True
            return go_on()

        if not engine.finish_evaluation(limit_s, wait_on) and go_on():
            level = logging.WARNING if told else logging.INFO  # in short calls, one after the other, nobody has seen a wait
            log.log(level, "the evaluation has not ended in %.1f s more: only a further call of train lets it count", limit_s)


class BestCheckpoint:
    """Has the learner of `policy` save where its `save_best_metric` is higher than ever before in this run. `folder` is that of
    the policy's checkpoints; None: nothing is saved."""

    def __init__(self, cfg: RunConfig, folder: Path | None, policy: int = 0) -> None:
        self._cfg = cfg
        self._policy = policy
        self._folder = folder if cfg.save_best_metric else None
        self._looked_s = -math.inf
        self._judged = -1  # version of the weights of the last evaluation that was looked at
        self._told = False
        self.value: float | None = None
        if self._folder is not None:
            found = load_best(self._folder / BEST, log.warning)
            if found is not None and found[0]["best"]["metric"] == cfg.save_best_metric:
                self.value = float(found[0]["best"]["value"])

    def consider(self, engine: Engine, snapshot: Snapshot, episodes: EpisodeStatistics, *, last: bool = False) -> None:
        """Called a few times a second, and for the `last` time at the end of training; `episodes` are the policy's."""
        cfg, name = self._cfg, self._cfg.save_best_metric
        if self._folder is None:
            return
        evaluated = name.startswith(EVALUATED)
        if not (self._has_new(snapshot) if evaluated else self._is_due() or last):
            return
        frames = int(snapshot.evaluation["frames"]) if evaluated else snapshot.frames
        if frames < cfg.save_best_after:
            return
        value = self._present(name, snapshot, episodes)
        if value is None or not math.isfinite(value) or (self.value is not None and value <= self.value):
            return
        best: dict[str, Any] = {"metric": name, "value": value, "frames": frames}
        try:
            engine.save_best(best, evaluated=evaluated, policy=self._policy)
        except UserError as error:  # a full disk may be emptied: training goes on
            log.warning("%s", error)
        else:
            self.value = value

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._looked_s < self._cfg.save_best_every_sec:
            return False
        self._looked_s = now
        return True

    def _has_new(self, snapshot: Snapshot) -> bool:
        """Whether an evaluation has ended since the last look: to be judged at once and once only, as the next one takes the
        place of its weights."""
        version = int(snapshot.evaluation.get("version", self._judged))
        is_new, self._judged = version != self._judged, version
        return is_new

    def _present(self, name: str, snapshot: Snapshot, episodes: EpisodeStatistics) -> float | None:
        if name.startswith(EVALUATED):
            known = {f"{EVALUATED}{key}": float(value) for key, value in snapshot.evaluation.items()}
            own = known.get(f"{EVALUATED}policy_{self._policy}/return_mean")  # where several policies played
            known |= {f"{EVALUATED}return_mean": own} if own is not None else {}
            missing = bool(known)
        elif episodes.best_return_mean is None:  # the mean of a few lucky episodes is no record
            return None
        else:
            assert episodes.return_mean is not None
            assert episodes.length_mean is not None
            name = name.removeprefix("env/")  # as in TensorBoard
            known = {"return_mean": episodes.return_mean, "length_mean": episodes.length_mean, **episodes.metric_means}
            missing = True
        if name not in known and missing and not self._told:
            self._told = True
            log.warning("save_best_metric: nobody reports '%s' so far; there are: %s", name, ", ".join(known))
        return known.get(name)
