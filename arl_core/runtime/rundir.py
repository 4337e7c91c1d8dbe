"""A run's directory: one writer at a time, and everything in it whole."""

from __future__ import annotations

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
    """`<train_dir>/<experiment>/`: config.json, summary.json, checkpoints/, tb/, run.log; locked while we write."""

    def __init__(self, path: Path, *, resume: bool, advice: str = GO_ON, is_new: bool = False) -> None:
        """Raises UserError where it cannot be written, another process writes to it, or (but for `resume`) it holds a run;
        `advice`: what to do then. `is_new`: the caller has just made it."""
        self.path = path
        self._is_new = is_new or not path.exists()
        self.checkpoints = path / "checkpoints"
        with writing_to(path):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path / ".lock")
        if not resume and (path / "config.json").exists() and checkpoints(self.policy_folder(0)):
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
        """Everything that was decided, and by whom."""
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
        write_json_atomic(self.path / "config.json", content)

    def _auto(self, resolved: ResolvedConfig) -> dict[str, str]:
        """What was measured to choose a value: now, or when the run that is resumed with it began."""
        chosen = {name: origin for name, origin in resolved.origins.items() if origin.startswith(AUTO_ORIGIN)}
        try:
            before: Any = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            saved, earlier = dict(before["config"]), dict(before["auto"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return chosen  # a new run; resuming has told of a file that cannot be read
        present = resolved.config.model_dump(mode="json")
        kept = {name: why for name, why in earlier.items() if name in saved and present.get(name) == saved[name]}
        return {**kept, **chosen}

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The run's result so far."""
        write_json_atomic(self.path / "summary.json", summary)

    def read_summary(self) -> Mapping[str, Any]:
        """What `write_summary` wrote last; empty where nothing was, or nothing that can be read."""
        try:
            found = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def discard(self) -> None:
        """Close, and remove what this process has made, where no run has begun in it: a mistake leaves nothing behind."""
        self.close()
        if self._is_new and not (self.path / "config.json").exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Let another process have it. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


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
