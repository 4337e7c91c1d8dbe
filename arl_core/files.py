"""Files that are whole or not there."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], content: bytes | memoryview | str) -> None:
    """Write `content` (text as UTF-8) under `path`, all or nothing, and durable when this returns.

    Raises OSError from the file system; the old file then stays as it was. A process killed on the way leaves at most a
    hidden `.<name>.*.tmp`.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name != "nt":  # Windows cannot open a folder, and its renames need nothing more
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove what interrupted `write_atomic`s of files called `names` (a glob) left in `folder`."""
    for leftover in folder.glob(f".{names}.*.tmp"):
        leftover.unlink(missing_ok=True)
