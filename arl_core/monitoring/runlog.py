"""The run's log file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

LOGGER_NAME = "arl"
MAX_BYTES = 16 * 2**20


class _Formatter(logging.Formatter):
    """Times in UTC with milliseconds, so that logs of several machines can be laid side by side."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"


class _RunLogHandler(logging.FileHandler):
    """Appends to the file, and stops after `max_bytes`: a warning in a loop cannot fill the disk."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, mode="a", encoding="utf-8")
        self.setFormatter(_Formatter("%(asctime)s %(levelname)-8s %(message)s"))
        self._bytes_left = max_bytes
        self.level_before = logging.NOTSET  # the logger's, which `close_run_log` puts back

    def emit(self, record: logging.LogRecord) -> None:
        if self._bytes_left <= 0:
            return
        self._bytes_left -= len(self.format(record).encode()) + 1
        super().emit(record)
        if self._bytes_left <= 0:
            super().emit(self._last_words())

    @staticmethod
    def _last_words() -> logging.LogRecord:
        text = "the log has reached its size limit: nothing more is written by this process"
        return logging.LogRecord(LOGGER_NAME, logging.WARNING, "", 0, text, None, None)


class _WarningHandler(logging.Handler):
    """Hands warnings and errors to a function that shows them."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(f"{record.levelname.lower()}: {record.getMessage()}")


def open_run_log(
    path: str | os.PathLike[str], show_warning: Callable[[str], None] | None = None, max_bytes: int = MAX_BYTES
) -> logging.Logger:
    """Send the logger `arl` (level INFO and above) to the file `path`, after what is in it; return that logger.

    Warnings and errors also go to `show_warning` as one text (`LiveView.message` is one such function). A log that was
    open before is closed. The folder is made where it is missing; raises OSError where it cannot be written.
    """
    close_run_log()
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(LOGGER_NAME)
    handler = _RunLogHandler(file, max_bytes)
    handler.level_before = logger.level
    logger.addHandler(handler)
    if show_warning is not None:
        logger.addHandler(_WarningHandler(show_warning))
    logger.setLevel(logging.INFO)
    return logger


_current: ContextVar[logging.Handler | None] = ContextVar("run log", default=None)


@contextmanager
def log_of(path: Path) -> Iterator[None]:
    """Have what this thread says to the logger `arl` in the block go to the file `path` too, after what is in it; not what it
    says in a block of another run inside of this one. The level is the logger's own: a process of several runs is its user's.

    Raises OSError where the file cannot be written.
    """
    logger = logging.getLogger(LOGGER_NAME)
    handler = _RunLogHandler(path, MAX_BYTES)
    handler.addFilter(lambda _: _current.get() is handler)
    # without a handler of the user's, Python shows warnings by one that it takes where there is no other
    added = [handler] if logger.hasHandlers() or logging.lastResort is None else [handler, logging.lastResort]
    for each in added:
        logger.addHandler(each)
    token = _current.set(handler)
    try:
        yield
    finally:
        _current.reset(token)
        for each in added:
            logger.removeHandler(each)
        handler.close()


def close_run_log() -> None:
    """Close what `open_run_log` opened, and put the logger's level back. Handlers of others stay. Does nothing where no log is
    open."""
    logger = logging.getLogger(LOGGER_NAME)
    for handler in list(logger.handlers):
        if isinstance(handler, (_RunLogHandler, _WarningHandler)):
            logger.removeHandler(handler)
            handler.close()
            if isinstance(handler, _RunLogHandler):
                logger.setLevel(handler.level_before)
