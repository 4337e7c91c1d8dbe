"""What a run writes beside its checkpoints: its TensorBoard events, and its log where it is begun in Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from arl_core.interfaces import UserError
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.runlog import log_of
from arl_core.monitoring.snapshot import Snapshot
from arl_core.monitoring.tensorboard import TensorBoardWriter


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raises UserError where a file of the run directory `folder` cannot be made or written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to the run directory {folder}: {error.strerror}") from None


class Records:
    """`run.log` and `tb/` of the run directory `folder`; nothing where that is None. `resume_frame`: of a run that goes on."""

    def __init__(self, folder: Path | None, resume_frame: int | None = None) -> None:
        self._folder = folder
        self._resume_frame = resume_frame
        self._board: TensorBoardWriter | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Around what a run does. Raises UserError where the files cannot be written."""
        with ExitStack() as stack:
            if self._folder is not None:
                with writing_to(self._folder):
                    stack.enter_context(log_of(self._folder / "run.log"))
            yield

    def write(self, snapshot: Snapshot, episodes: EpisodeStatistics) -> None:
        """The present statistics. The first call makes the file."""
        if self._folder is None:
            return
        if self._board is None:
            with writing_to(self._folder):
                self._board = TensorBoardWriter(self._folder / "tb", resume_frame=self._resume_frame)
        self._board.write(snapshot, episodes)

    def close(self) -> None:
        """Write what was kept back, close the file. Idempotent."""
        if self._board is not None:
            self._board.close()
            self._board = None
