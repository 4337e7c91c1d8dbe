"""A run's extensions are told of its beginning, its metrics and its end, and cannot harm it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

from arl_core.hookspecs import EXTENSION_HOOKS
from arl_core.interfaces import RunInfo, RunResult
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import Snapshot
from arl_core.monitoring.tensorboard import INTERVAL_S, scalars
from arl_core.registry.loading import Plugin, cause

SLOW_S = 1.0  # a hook that takes longer is told once: the trainer waits for it

log = logging.getLogger("arl")
_STARTED, _METRICS, _FINISHED = EXTENSION_HOOKS


class _Extension:
    """One plugin. After its first exception no hook of it is called any more."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.enabled = True
        self.title = f"extension '{plugin.record.name}' ({plugin.record.owner})"
        self._run: RunInfo | None = None
        self._calls, self._seconds = 0, 0.0
        self._slow_told = False

    def wants(self, hook: str) -> bool:
        return self.enabled and hook in self.plugin.hooks

    def begin(self, run: RunInfo) -> None:
        """What it is told belongs to it: it may change its copy of the configuration."""
        self._run = replace(run, config=deepcopy(dict(run.config)))

    def tell(self, hook: str, **arguments: Any) -> None:
        if not self.wants(hook):
            return
        begin = time.perf_counter()
        try:
            self.plugin.call_unguarded(hook, run=self._run, **arguments)
        except (Exception, SystemExit) as error:
            self.enabled = False
            log.warning("%s is disabled for the rest of the run: %s raised %s", self.title, hook, cause(error))
            log.info("%s: %s", self.title, hook, exc_info=error)
        seconds = time.perf_counter() - begin
        self._calls, self._seconds = self._calls + 1, self._seconds + seconds
        if seconds > SLOW_S and not self._slow_told:
            self._slow_told = True
            log.warning("%s: %s took %.1f s, and the trainer waits for it", self.title, hook, seconds)

    def report(self) -> None:
        """What it has cost, for the log."""
        log.info("%s: %d calls, %.3f s", self.title, self._calls, self._seconds)


class Extensions:
    """The extensions of a run, told one after the other, in the order in which the run names them."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._extensions = [_Extension(plugin) for plugin in plugins]
        self._told_at = -math.inf
        self._seconds_before = 0.0
        self._seen: tuple[int, float, float | None] = 0, 0.0, None  # frames, seconds, mean return

    def started(self, run: RunInfo, seconds: float) -> None:
        """A call of `train` begins, after `seconds` of training in this process."""
        self._told_at, self._seconds_before = -math.inf, seconds
        self._seen = run.start_frames, seconds, None
        for extension in self._extensions:
            extension.begin(run)
            extension.tell(_STARTED)

    def metrics(self, snapshot: Snapshot, episodes: EpisodeStatistics, *, last: bool = False) -> None:
        """Tell what TensorBoard shows, as often as it is written there, and the `last` values in any case."""
        now = time.monotonic()
        self._seen = snapshot.frames, snapshot.seconds, episodes.return_mean
        listeners = [extension for extension in self._extensions if extension.wants(_METRICS)]
        if not listeners or not (last or now - self._told_at >= INTERVAL_S):
            return
        self._told_at = now
        metrics: Mapping[str, float] = scalars(snapshot, episodes)
        for extension in listeners:
            extension.tell(_METRICS, frames=snapshot.frames, metrics=dict(metrics))

    def finished(self, status: Literal["completed", "interrupted", "failed"], error: str) -> None:
        """The call of `train` has ended; what it came to is as it was last seen."""
        frames, seconds, return_mean = self._seen
        result = RunResult(status, frames, seconds - self._seconds_before, return_mean, error)
        for extension in self._extensions:
            extension.tell(_FINISHED, result=result)
            extension.report()
