"""Files that are whole or not there, standard streams that are not there, or nowhere to be written to, and waiting."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO


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


def readable(descriptors: Iterable[int], timeout_s: float) -> set[int]:
    """Those that have something to be read, or an end, after at most `timeout_s`. Unlike `select.select` it takes numbers above
    1023, which a process has that has opened many files."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(timeout_s * 1000.0)}


def fill_standard_descriptors() -> None:
    """Have descriptors 0 to 2 that are closed (`>&-`) be the null device: otherwise the next file or socket that is opened is
    one of them, and what anybody prints goes into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def discard(stream: IO[str]) -> None:
    """Have what `stream` still holds, and all that it is given, go nowhere: the interpreter flushes a standard stream once more
    at its end, and fails where that cannot be written."""
    with contextlib.suppress(OSError, ValueError):  # it is no file of the system's, or closed
        target = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, target)
        os.close(null)
