"""What the tests' child processes do. Imported in a nursery, not a test module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from arl_core.learning.checkpoint import save_state


def save_for_ever(*, fds: Any, folder: str, first: int, size: int) -> None:
    """Checkpoints of rising versions, whose content says which they are."""
    version = first
    while True:
        state = {"version": version, "weights": torch.full((size,), float(version))}
        save_state(Path(folder), state, version=version, frames=10 * version, keep=2)
        version += 1
