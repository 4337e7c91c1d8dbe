"""`arl run`: a training run with its directory, its views and its end."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arl_core.config import ResolvedConfig
from arl_core.interfaces import ResolvedEnv
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.live import LiveView, stdout_is_live
from arl_core.monitoring.runlog import close_run_log, open_run_log
from arl_core.monitoring.snapshot import Snapshot
from arl_core.registry.parts import NETWORK_FIELDS, PART_FIELDS, local_names
from arl_core.runtime.processes.nurseries import Nurseries
from arl_core.runtime.records import Records, writing_to

if TYPE_CHECKING:
    from arl_core.runtime.rundir import RunDirectory
    from arl_core.runtime.trainer import Outcome, Trainer


def run(resolved: ResolvedConfig, env: ResolvedEnv, *, resume: bool) -> int:
    """Train as configured. Returns the exit code: 0, 1 after a failure, 130, 143 or 129 after SIGINT, SIGTERM or SIGHUP."""
    cfg = resolved.config
    nurseries = Nurseries(collect=stdout_is_live())
    if not cfg.serial:
        nurseries.begin(cfg)  # they import torch while this process does
    try:
        return _run(resolved, env, nurseries, resume=resume)
    finally:
        nurseries.close()


def _run(resolved: ResolvedConfig, env: ResolvedEnv, nurseries: Nurseries, *, resume: bool) -> int:
    from arl_core.runtime.rundir import RunDirectory, unnamed_directory

    cfg = resolved.config
    if cfg.experiment:
        directory = RunDirectory(Path(cfg.train_dir) / cfg.experiment, resume=resume)
    else:
        directory = unnamed_directory(Path(cfg.train_dir), env.id)
    path = directory.path
    view = LiveView.create(None, f"{cfg.algo} · {env.id}")
    nurseries.show(view.message)
    code, final = 0, ""
    try:
        with writing_to(path):
            open_run_log(directory.log, view.message)
        code, final = _train(resolved, env, directory, nurseries, view, resume=resume)
        return code
    except KeyboardInterrupt:  # the second one
        final = f"ended at once; {_saved(path)}"
        raise
    finally:
        failed = code == 1  # the view is standard output, which may be a file: why there is no result is said to the user
        view.close("" if failed else final)
        close_run_log()
        directory.close()
        if failed:
            sys.stderr.write(f"{final}\n")


def _train(
    resolved: ResolvedConfig,
    env: ResolvedEnv,
    directory: RunDirectory,
    nurseries: Nurseries,
    view: LiveView,
    *,
    resume: bool,
) -> tuple[int, str]:
    """(exit code, last line)."""
    from arl_core.runtime.trainer import Outcome, Trainer

    cfg = resolved.config
    trainer = Trainer(resolved, env, directory, nurseries)
    try:
        begin: int | None = None
        if resume:
            found = trainer.resume()
            view.message(f"resuming from {found[0]}" if found else "no checkpoint yet: starting from the beginning")
            begin = found[1] if found else 0
        board = Records(directory.path, resume_frame=begin)
        try:

            def observe(snapshot: Snapshot, episodes: EpisodeStatistics) -> bool:
                view.update(snapshot, episodes)
                board.write(snapshot, episodes)
                return True

            outcome = trainer.train(cfg.train_for_env_steps, cfg.train_for_seconds, observe)
            if outcome is not Outcome.FAILURE and trainer.snapshot is not None:
                observe(trainer.snapshot, trainer.engine.statistics.episodes)
        finally:
            board.close()
        return _ending(trainer, outcome, directory.path, begin)
    finally:
        trainer.close()


def _ending(trainer: Trainer, outcome: Outcome, path: Path, begin: int | None) -> tuple[int, str]:
    """(exit code, last line). `begin` are the frames of a resumed run."""
    if trainer.failure is not None:
        return 1, f"failed: {trainer.failure}. The log is {path / 'run.log'}; {_saved(path)}"
    snapshot = trainer.snapshot
    assert snapshot is not None
    see = f"See it play: arl eval {shlex.quote(str(path))}{_named_again(trainer, NETWORK_FIELDS)}"
    if begin is not None and snapshot.frames == begin and not trainer.signal:
        more = "--train_for_env_steps N, with a larger N, trains on"
        return int(outcome), f"nothing to do: the run has its {begin:,} frames; {more}. {see}"
    done = f"{snapshot.frames:,} frames in {snapshot.seconds:.1f} s ({snapshot.fps_total:,.0f} FPS)"
    mean = trainer.engine.statistics.episodes.return_mean
    result = f", mean return {mean:.3f}" if mean is not None else ""
    if trainer.signal:
        train_dir = trainer.cfg.train_dir
        again = f"arl run --resume --experiment {shlex.quote(path.name)}"
        again += f" --train-dir {shlex.quote(train_dir)}" if train_dir != "train_dir" else ""
        again += _named_again(trainer, PART_FIELDS)
        return 128 + trainer.signal, f"interrupted after {done}{result}. Saved; go on with: {again}"
    return int(outcome), f"{done}{result}. {see}"


def _named_again(trainer: Trainer, fields: Sequence[str]) -> str:
    """The flags for what is code of the user's own, which a file alone may not name: the environment, and these fields."""
    own_env = not trainer.env.dist or trainer.env.imports
    words = ["--env", trainer.cfg.env] if own_env else []
    for field in fields:
        if local_names(trainer.cfg, field):
            value = getattr(trainer.cfg, field)
            words += [f"--{field}", value if isinstance(value, str) else json.dumps(value)]
    return "".join(f" {shlex.quote(word)}" for word in words)


def _saved(path: Path) -> str:
    """What of a run that did not end well is there to go on with."""
    from arl_core.learning.checkpoint import checkpoints

    return "--resume goes on from the last checkpoint" if checkpoints(path / "checkpoints" / "p0") else "nothing was saved yet"
