from __future__ import annotations

import hashlib
import io
import os
import pickle
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arl_core.files import remove_leftovers
from arl_core.interfaces import UserError
from arl_core.learning.checkpoint import BEST, MILESTONES, checkpoints, load_file, load_newest, save_only, save_state

KILLS = 40


def save(folder: Path, version: int, *, keep: int = 3, **content: Any) -> Path:
    state = {"version": version, "weights": torch.full((100,), float(version)), **content}
    return save_state(folder, state, version=version, frames=10 * version, keep=keep)


def versions(folder: Path) -> list[int]:
    return [int(path.name.split("_")[1]) for path in checkpoints(folder)]


def quiet(message: str) -> None:
    raise AssertionError(f"warned: {message}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "p0"


def test_what_was_saved_is_loaded(folder: Path) -> None:
    content = {"nested": {"step": torch.tensor(3.0), "none": None}, "text": "x", "count": 2**40}
    path = save(folder, 12, **content)
    assert path.parent == folder
    found = load_newest(folder, quiet)
    assert found is not None
    state, where = found
    assert where == path
    assert torch.equal(state["weights"], torch.full((100,), 12.0))
    assert (state["version"], state["text"], state["count"]) == (12, "x", 2**40)
    assert state["nested"]["none"] is None
    assert [item.name for item in folder.iterdir()] == [path.name], "nothing else is left"


def test_the_name_says_version_frames_and_checksum(folder: Path) -> None:
    path = save(folder, 7)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert path.name == f"checkpoint_000000007_70_{digest}.pt"


def test_the_newest_are_kept_in_the_order_of_versions(folder: Path) -> None:
    for version in (9, 10, 99, 100, 1_000_000_000):
        path = save(folder, version, keep=3)
        assert path.exists()
    assert versions(folder) == [1_000_000_000, 100, 99]
    save(folder, 1_000_000_001, keep=1)
    assert versions(folder) == [1_000_000_001]


def test_a_version_has_one_checkpoint(folder: Path) -> None:
    save(folder, 5, note="first")
    save(folder, 6, note="first")
    save(folder, 6, note="second")
    assert versions(folder) == [6, 5]
    found = load_newest(folder, quiet)
    assert found is not None
    assert found[0]["note"] == "second"
    save(folder, 6, note="second")
    assert versions(folder) == [6, 5]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_later_versions_that_are_damaged_do_not_push_new_ones_out(folder: Path, keep: int) -> None:
    save(folder, 50)
    for version in (98, 99, 100):
        save(folder, version, keep=10).write_bytes(b"damaged")
    path = save(folder, 51, keep=keep)
    assert path.exists()
    warnings: list[str] = []
    found = load_newest(folder, warnings.append)
    assert found is not None
    assert found[1] == path
    assert len(warnings) == 3
    assert versions(folder) == [100, 99, 98, 51, 50][: 3 + min(keep, 2)]


def test_a_file_of_the_users_choice(tmp_path: Path) -> None:
    target = tmp_path / "best.pt"
    for version in (1, 2):
        state = {"version": version}
        assert save_state(target, state, version=version, frames=0, keep=1) == target
        assert load_file(target)["version"] == version
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, empty, flip])
def test_a_damaged_newest_falls_back_and_says_so(folder: Path, damage: Callable[[Path], None]) -> None:
    for version in (1, 2, 3):
        newest = save(folder, version)
    damage(newest)
    with pytest.raises(UserError, match="is damaged: its content does not match the checksum in its name"):
        load_file(newest)
    warnings: list[str] = []
    found = load_newest(folder, warnings.append)
    assert found is not None
    assert found[0]["version"] == 2
    assert len(warnings) == 1
    assert newest.name in warnings[0]
    assert "falling back" in warnings[0]


def test_where_none_is_intact_nothing_starts_from_scratch(folder: Path) -> None:
    assert load_newest(folder, quiet) is None
    folder.mkdir(parents=True)
    assert load_newest(folder, quiet) is None
    for version in (1, 2):
        flip(save(folder, version))
    with pytest.raises(UserError, match=r"none of the 2 checkpoints in .* is intact"):
        load_newest(folder, lambda _: None)


def test_the_best_and_milestones_stand_in_where_no_newest_is_intact(folder: Path) -> None:
    newest = save(folder, 9)
    for version, kept in ((5, folder / MILESTONES), (7, folder / BEST), (8, folder / BEST)):
        path = save(kept, version)
    flip(path)
    warnings: list[str] = []
    found = load_newest(folder, warnings.append)
    assert found is not None
    assert found[1] == newest
    newest.unlink()
    found = load_newest(folder, warnings.append)
    assert found is not None
    assert (found[0]["version"], found[1].parent) == (7, folder / BEST)
    assert len(warnings) == 1


def test_a_damaged_file_without_checksum_is_an_error_too(tmp_path: Path) -> None:
    target = save_state(tmp_path / "best.pt", {"a": 1}, version=1, frames=0, keep=1)
    truncate(target)
    with pytest.raises(UserError, match=r"checkpoint .*best\.pt cannot be read"):
        load_file(target)
    with pytest.raises(UserError, match=r"other\.pt: No such file"):
        load_file(tmp_path / "other.pt")
    with pytest.raises(UserError, match="Is a directory"):
        load_file(tmp_path)


def test_what_is_no_state_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "list.pt"
    torch.save([1, 2], target)
    with pytest.raises(UserError, match="holds a list, not the state of a run"):
        load_file(target)


class Hostile:
    """Executes a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("write", [torch.save, lambda state, file: pickle.dump(state, file)])
def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, write: Callable[[Any, Any], None]) -> None:
    trace = tmp_path / "executed"
    buffer = io.BytesIO()
    write({"learner": {"x": Hostile(f"touch {trace}")}}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    for name in (f"checkpoint_000000001_0_{digest}.pt", "mine.pt"):
        (tmp_path / name).write_bytes(buffer.getvalue())
        with pytest.raises(UserError, match="cannot be read"):
            load_file(tmp_path / name)
    assert not trace.exists()


def test_leftovers_of_interrupted_saves_are_removed(folder: Path) -> None:
    save(folder, 1)
    leftover, other = folder / ".checkpoint_000000002_20_0123456789abcdef.pt.1.2.tmp", folder / "notes.txt"
    for path in (leftover, other):
        path.write_text("x")
    assert versions(folder) == [1]
    remove_leftovers(folder, "checkpoint_*")
    assert not leftover.exists()
    leftover.write_text("x")
    save(folder, 2)
    assert not leftover.exists()
    assert other.exists()


def test_what_cannot_be_removed_is_told_and_the_new_checkpoint_stands(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Here a folder by the name of a checkpoint; elsewhere a file of another user's, or one that somebody holds open."""
    (folder / f"checkpoint_000000001_10_{'0' * 16}.pt").mkdir(parents=True)
    path = save(folder, 2, keep=1)
    assert "cannot be removed" in caplog.text
    found = load_newest(folder, quiet)
    assert found is not None
    assert found[1] == path
    best = save_only(folder, {"best": {"value": 1.0}}, version=3, frames=30)
    assert best.exists()
    assert not path.exists()


def test_files_with_other_names_are_no_checkpoints(folder: Path) -> None:
    save(folder, 1)
    for name in ("checkpoint_1_2_x.pt", "checkpoint_000000009_1_0123456789ABCDEF.pt", "checkpoint_best.pt"):
        (folder / name).write_text("x")
    assert versions(folder) == [1]
    save(folder, 2, keep=1)
    assert (folder / "checkpoint_best.pt").exists()


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(UserError, match=r"cannot make the folder of checkpoints .*file/p0: Not a directory"):
        save(blocked / "p0", 1)
    with pytest.raises(UserError, match=r"cannot make the folder of checkpoints .*file: (File exists|Not a directory)"):
        save_state(blocked / "best.pt", {}, version=1, frames=0, keep=1)
    made = save_state(tmp_path / "new" / "best.pt", {}, version=1, frames=0, keep=1)
    assert made.is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_clear_error(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*: Permission denied"):
        save(folder, 1)
    folder.chmod(0o700)


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 2,000 bytes, as on a disk that is full.

    Only around the call under test: pytest's own output may be a longer file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_harms_nothing(folder: Path) -> None:
    save(folder, 1)
    message = r"cannot write the checkpoint .*checkpoint_000000002_.*: File too large"
    with small_files(), pytest.raises(UserError, match=message):
        save(folder, 2, more=torch.zeros(10_000))
    assert len(list(folder.iterdir())) == 1
    found = load_newest(folder, quiet)
    assert found is not None
    assert found[0]["version"] == 1


def test_a_process_killed_at_any_moment_leaves_a_checkpoint(folder: Path, children: Any) -> None:
    save(folder, 0)
    rng = np.random.default_rng(0)
    partials = 0
    for _ in range(KILLS):
        before = versions(folder)[0]
        pid = children.start("save_for_ever", folder=str(folder), first=before + 1, size=200_000)
        deadline = time.monotonic() + 20.0
        while versions(folder)[0] == before:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        time.sleep(rng.uniform(0.0, 0.01))
        children.kill(pid)
        partials += len(list(folder.glob(".*")))
        found = load_newest(folder, quiet)
        assert found is not None
        state, path = found
        assert state["version"] == versions(folder)[0] > before
        assert (state["weights"] == state["version"]).all()
        assert path == checkpoints(folder)[0]
    assert partials > 0, "no kill hit a save: the test shows nothing"
    save(folder, versions(folder)[0] + 1, keep=2)
    assert len(list(folder.iterdir())) == 2


def test_a_process_killed_at_every_operation_of_a_save_leaves_a_checkpoint(folder: Path, children: Any) -> None:
    newest, last_words = [], []
    for call in range(1, 30):
        shutil.rmtree(folder, ignore_errors=True)
        save(folder, 1, keep=2)
        save(folder, 2, keep=2)
        status = children.end_of(children.start("save_killed_at", folder=str(folder), version=3, call=call))
        found = load_newest(folder, quiet)
        assert found is not None
        state, _ = found
        assert (state["weights"] == state["version"]).all()
        newest.append(state["version"])
        last_words.append(status)
        save(folder, 4, keep=2)
        assert len(list(folder.iterdir())) == 2, "the next save clears up"
        if status == 0:
            break
    # killed before: opening, writing half, writing the rest, syncing, renaming | syncing the folder, removing the oldest
    seen = 2 if sys.version_info >= (3, 11) else 1  # pathlib of 3.10 removes by a reference of its own, which is not counted
    assert newest == [2, 2, 2, 2, 2, *[3] * seen, 3]
    assert last_words == [*[-signal.SIGKILL] * (5 + seen), 0]
