"""A run's directory: one writer at a time, and everything in it whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arl_core._version import __version__
from arl_core.config import ResolvedConfig
from arl_core.config.layers import AUTO_ORIGIN
from arl_core.files import remove_leftovers
from arl_core.interfaces import ResolvedEnv, UserError
from arl_core.learning.checkpoint import BEST, MILESTONES, checkpoints
from arl_core.monitoring.summary import write_json_atomic
from arl_core.runtime.plan import RunPlan
from arl_core.runtime.records import writing_to

GO_ON = "Go on with --resume, or choose another --experiment or --train-dir"


class RunDirectory:
    """`<train_dir>/<experiment>/`: config.json, summary.json, checkpoints/, tb/, run.log; locked while we write. A run begins
    in it with `write_config` or `write_summary`; where none has, `close` leaves it as it was found."""

    def __init__(self, path: Path, *, resume: bool, advice: str = GO_ON, is_new: bool = False, shared: bool = False) -> None:
        """Raises UserError where it cannot be written, another process writes to it, or (but for `resume`) it holds a run;
        `advice`: what to do then. `is_new`: the caller has just made it. `shared`: a user's program may put files of its own
        into it before a run begins."""
        self.path = path
        self._is_new, self._shared = is_new or not path.exists(), shared
        self._has_begun = False
        self.config, self.log = path / "config.json", path / "run.log"
        self.checkpoints = path / "checkpoints"
        self._makes = {each for each in (self.checkpoints, path / ".lock") if not each.exists()}
        with writing_to(path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path / ".lock")
            self._log_bytes = self.log.stat().st_size if self.log.exists() else None
        if not resume and self.config.exists() and checkpoints(self.policy_folder(0)):
            self.close()
            raise UserError(f"the run directory {path} already holds a run. {advice}")
        for policy in self.checkpoints.glob("p*"):
            for folder in (policy, policy / BEST, policy / MILESTONES):
                remove_leftovers(folder, "checkpoint_*")
        remove_leftovers(path, "*.json")

    def policy_folder(self, policy: int) -> Path:
        """Where a policy's checkpoints are."""
        return self.checkpoints / f"p{policy}"

    def write_config(self, resolved: ResolvedConfig, env: ResolvedEnv, plan: RunPlan) -> None:
        """Everything that was decided, and by whom. Raises UserError."""
        content: dict[str, Any] = {
            "version": __version__,
            "config": resolved.config.model_dump(mode="json"),
            "origins": dict(resolved.origins),
            "auto": self._auto(resolved),
            "env": {
                "id": env.id,
                "dist": env.dist,
                "version": env.version,
                "options": dict(env.options),
                "wrappers": [list(wrapper) for wrapper in env.wrappers],
            },
            "inference": {"chosen": plan.inference, "because": plan.inference_reason},
            "device": plan.device,
        }
        with writing_to(self.path):
            write_json_atomic(self.config, content)
        self._has_begun = True

    def _auto(self, resolved: ResolvedConfig) -> dict[str, str]:
        """What was measured to choose a value: now, or when the run that is resumed with it began."""
        chosen = {name: origin for name, origin in resolved.origins.items() if origin.startswith(AUTO_ORIGIN)}
        try:
            before: Any = json.loads(self.config.read_text(encoding="utf-8"))
            saved, earlier = dict(before["config"]), dict(before["auto"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return chosen  # a new run; resuming has told of a file that cannot be read
        present = resolved.config.model_dump(mode="json")
        kept = {name: why for name, why in earlier.items() if name in saved and present.get(name) == saved[name]}
        return {**kept, **chosen}

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The run's result so far."""
        self._has_begun = True
        write_json_atomic(self.path / "summary.json", summary)

    def read_summary(self) -> Mapping[str, Any]:
        """What `write_summary` wrote last; empty where nothing was, or nothing that can be read."""
        try:
            found = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Let another process have it, first taking back what we have made where no run has begun: a mistake leaves nothing
        behind. Idempotent."""
        if self._lock < 0:
            return
        if not self._has_begun:
            with contextlib.suppress(OSError):
                self._take_back()
        os.close(self._lock)
        self._lock = -1

    def _take_back(self) -> None:
        if self._is_new and not self._shared:
            shutil.rmtree(self.path)  # what extensions have made too
            return
        if self._log_bytes is None:
            self.log.unlink(missing_ok=True)
        elif self.log.stat().st_size > self._log_bytes:
            os.truncate(self.log, self._log_bytes)
        if self.checkpoints in self._makes:
            for folder, _, _ in os.walk(self.checkpoints, topdown=False):
                os.rmdir(folder)
        for file in self._makes - {self.checkpoints}:
            file.unlink(missing_ok=True)
        if self._is_new:
            self.path.rmdir()


def unnamed_directory(train_dir: Path, env_id: str) -> RunDirectory:
    """A new directory for a run that was given no name: the environment and the time, and a number where another run has begun
    in the same second. Raises UserError."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in env_id)
    name = f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        path = train_dir / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:
            pass  # RunDirectory says why
        break
    return RunDirectory(path, resume=False, is_new=path.exists())


def _lock(path: Path) -> int:
    """An advisory lock that the kernel gives back whatever happens to us. Raises UserError naming the holder."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise UserError(
            f"another run (process {holder}) writes to {path.parent}; wait for it, or choose another experiment"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
