"""Checkpoints that are whole or not there, and that say by their own name whether they are intact.

A checkpoint is written under a temporary name, synced, and renamed to
`checkpoint_<version>_<frames>_<first 16 digits of its SHA-256>.pt`. One that is cut short or altered does not match its
name and is passed over for the one before. Nothing in a checkpoint is executed: it loads with torch's `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from arl_core.files import remove_leftovers, write_atomic
from arl_core.interfaces import UserError

MILESTONES, BEST = "milestones", "best"  # folders beside the newest checkpoints
log = logging.getLogger("arl")
_NAME = re.compile(r"checkpoint_(\d{9,})_(\d+)_([0-9a-f]{16})\.pt")


def save_state(target: Path, state: Mapping[str, Any], *, version: int, frames: int, keep: int | None) -> Path:
    """Write a checkpoint atomically. `target` is one file (`*.pt`), or the folder of a run's checkpoints.

    In a folder the newest `keep` (None: all) up to this version stay; older ones, another one of this version, and what
    interrupted saves left behind are removed, as far as they can be. Raises UserError where it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getbuffer()
    is_file = target.suffix == ".pt"
    folder = target.parent if is_file else target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder of checkpoints {folder}: {error.strerror}") from None
    if is_file:
        return _write(target, content)
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = _write(target / f"checkpoint_{version:09d}_{frames}_{digest}.pt", content)
    with _tidying(target):
        _prune(path, version, keep)
        remove_leftovers(target, "checkpoint_*")
    return path


def save_only(folder: Path, state: Mapping[str, Any], *, version: int, frames: int) -> Path:
    """`save_state` into a folder of one checkpoint; the one before stays until the new one is whole."""
    path = save_state(folder, state, version=version, frames=frames, keep=1)
    with _tidying(folder):
        for other in checkpoints(folder):
            if other != path:
                other.unlink(missing_ok=True)
    return path


@contextmanager
def _tidying(folder: Path) -> Iterator[None]:
    """Around what removes files beside a checkpoint that is written: what cannot be removed is told, and ends nobody."""
    try:
        yield
    except OSError as error:
        log.warning("what an older checkpoint has left in %s cannot be removed: %s", folder, error.strerror)


def _prune(newest: Path, version: int, keep: int | None) -> None:
    """Later versions stay: they were damaged or left for an older one, and must not push `newest` out."""
    earlier = [(number, path) for number, path in _numbered(newest.parent) if number <= version and path != newest]
    kept = 1
    for number, path in earlier:
        if number == version or (keep is not None and kept >= keep):
            path.unlink(missing_ok=True)
        else:
            kept += 1


def _write(path: Path, content: memoryview) -> Path:
    try:
        write_atomic(path, content)
    except OSError as error:
        raise UserError(f"cannot write the checkpoint {path}: {error.strerror}") from None
    return path


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints in `folder`, newest first."""
    return [path for _, path in _numbered(folder)]


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """(version, checkpoint), newest first."""
    found = [(int(m[1]), path) for path in folder.glob("checkpoint_*.pt") if (m := _NAME.fullmatch(path.name))]
    return sorted(found, reverse=True)


def load_file(path: Path) -> dict[str, Any]:
    """One checkpoint. Raises UserError when it is not intact."""
    match = _NAME.fullmatch(path.name)  # a file that a user named has no checksum in its name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"checkpoint {path}: {error.strerror}") from None
    if match and hashlib.sha256(content).hexdigest()[:16] != match[3]:
        raise UserError(f"checkpoint {path} is damaged: its content does not match the checksum in its name")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError:  # torch's text advises to execute what the file says
        raise UserError(f"checkpoint {path} cannot be read: it is damaged, or no checkpoint of a run") from None
    except Exception as error:  # noqa: BLE001  # damaged pickles raise anything
        raise UserError(f"checkpoint {path} cannot be read: {type(error).__name__}: {str(error)[:200]}") from None
    if not isinstance(state, dict):
        raise UserError(f"checkpoint {path} holds a {type(state).__name__}, not the state of a run")
    return state


def weights_in(state: Mapping[str, Any]) -> Any:
    """What stands in the place of a checkpoint's weights. Raises ValueError where nothing does."""
    learner = state.get("learner")
    if not isinstance(learner, Mapping) or "model" not in learner:
        raise ValueError("it is not a checkpoint of a run")
    return learner["model"]


def load_newest(folder: Path, warn: Callable[[str], None]) -> tuple[dict[str, Any], Path] | None:
    """The newest intact checkpoint, else that of the best and the milestones beside it; `warn` hears of damaged ones. None only
    if there is none at all: where there are some and none is intact, a UserError, never a silent start from scratch."""
    beside = sorted((*_numbered(folder / BEST), *_numbered(folder / MILESTONES)), reverse=True)
    found = [*checkpoints(folder), *(path for _, path in beside)]
    for path in found:
        try:
            return load_file(path), path
        except UserError as error:  # noqa: PERF203  # a handful of files
            warn(f"{error}; falling back to the one before")
    if found:
        raise UserError(f"none of the {len(found)} checkpoints in {folder} is intact")
    return None


def load_best(folder: Path, warn: Callable[[str], None]) -> tuple[dict[str, Any], Path] | None:
    """The intact checkpoint of the highest value in a folder of the best (one more is there where a save was interrupted);
    `warn` hears of damaged ones. None where there is none."""
    found = []
    for path in checkpoints(folder):
        try:
            state = load_file(path)
            found.append((float(state["best"]["value"]), state, path))
        except (UserError, KeyError, TypeError, ValueError) as error:  # noqa: PERF203  # one or two files
            warn(f"{path} is passed over: {error}")
    best = max(found, key=lambda each: each[0], default=None)
    return None if best is None else best[1:]
