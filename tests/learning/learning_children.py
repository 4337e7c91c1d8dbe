"""What the tests' child processes do. Imported in a nursery, not a test module."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from arl_core import files
from arl_core.learning.checkpoint import save_state


def save_for_ever(*, fds: Any, folder: str, first: int, size: int) -> None:
    """Checkpoints of rising versions, whose content says which they are."""
    version = first
    while True:
        state = {"version": version, "weights": torch.full((size,), float(version))}
        save_state(Path(folder), state, version=version, frames=10 * version, keep=2)
        version += 1


def save_killed_at(*, fds: Any, folder: str, version: int, call: int) -> None:
    """One save, by a process that kills itself just before the `call`-th operation on files: half of a write, the rest of
    it, a sync, a rename, a removal. It ends well where there are fewer."""
    done = 0

    def dies(operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return wrapped

    class DyingFile(io.FileIO):
        def write(self, content: Any) -> int:
            half = len(content) // 2
            dies(super().write)(content[:half])
            dies(super().write)(content[half:])
            return len(content)

    vars(files)["open"] = dies(DyingFile)
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, dies(getattr(os, name)))
    state = {"version": version, "weights": torch.full((1000,), float(version))}
    save_state(Path(folder), state, version=version, frames=10 * version, keep=2)
