"""Places that cannot be written, disks that are full, limits that are low."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from run_support import RUN, arl, environment, script

SHORT = ("run", "--env", "py:tiny_envs:Bandit", *RUN, "--train_for_env_steps", "500")


@pytest.mark.parametrize("train_dir", ["a_file", "a_file/below", "/proc/nothing/here"])
def test_no_place_for_a_run_is_one_line(train_dir: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    done = arl(*SHORT, "--train_dir", train_dir, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write to the run directory")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def files_of(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Content and time of everything but the lock, whose holder changes; folders too."""
    found = sorted(path for path in folder.rglob("*") if path.name != ".lock")
    return {path: (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("mode", [(), ("--serial",)])
def test_a_refused_first_reset_leaves_every_directory_as_it_was(mode: tuple[str, ...], tmp_path: Path) -> None:
    refusing = ("run", "--env", "py:tiny_envs:Refusing", *RUN, *mode, "--train_for_env_steps")
    run, older = tmp_path / "runs" / "r", {"config.json": "{}", "run.log": "once\n", "notes.txt": "mine"}

    def refuse(*words: str) -> None:
        done = arl(*refusing, *words, cwd=tmp_path)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "error: the maze is not there: start its server")

    (tmp_path / "refuse").touch()
    refuse("500")
    assert not run.exists()
    run.mkdir()
    refuse("500")
    assert list(run.iterdir()) == []
    for name, text in older.items():  # of a run that has saved nothing
        (run / name).write_text(text)
    refuse("500")
    assert {path.name: path.read_text() for path in run.iterdir()} == older
    (tmp_path / "refuse").unlink()
    assert arl(*refusing, "500", cwd=tmp_path).returncode == 0
    before = files_of(run)
    (tmp_path / "refuse").touch()
    refuse("900", "--resume", "--gamma", "0.5")
    after = files_of(run)
    assert {path: content for path, (content, _) in after.items()} == {path: content for path, (content, _) in before.items()}
    assert after[run / "config.json"] == before[run / "config.json"]  # its time says which run is the newest


CAN_MOUNT = shutil.which("unshare") is not None and (
    subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="a small disk can be made only where mounting is allowed")
@pytest.mark.parametrize("name", ["run.log", "tb"])
def test_a_file_of_a_run_that_cannot_be_made_is_one_line(name: str, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r"
    run.mkdir(parents=True)
    if name == "tb":
        (run / name).write_text("")  # a file where a folder is wanted
    else:
        (run / name).mkdir()
    done = arl(*SHORT, "--serial", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write to the run directory runs/r: ")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A checkpoint does not fit on a disk of 64 kB, everything else does."""
    (tmp_path / "runs").mkdir()
    command = f"{sys.executable} -m arl_core {' '.join(SHORT)}; echo code=$?"
    command += "; find runs/r/checkpoints/p0; echo; cat runs/r/summary.json"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=64k none runs && {{ {command}; }}"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "code=1" in said
    assert "cannot write the checkpoint" in said
    assert "No space left on device" in said
    assert "Traceback" not in done.stderr
    assert "code=1\nruns/r/checkpoints/p0\n\n" in done.stdout  # nothing in it, whole or partial
    assert '"status": "failure"' in done.stdout


def test_too_few_descriptors_name_the_limit(tmp_path: Path) -> None:
    done = script(
        """
import resource
from arl_core import APPO, UserError
from tiny_envs import Bandit
model = APPO(Bandit, num_workers=200, num_envs_per_worker=1, policy_kwargs={"rollout": 8, "batch_size": 64})
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    model.train(100)
except UserError as error:
    print(error)
model.close()
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "ulimit -n" in done.stdout, done.stderr
    assert "num_workers" in done.stdout


@pytest.mark.parametrize("limit", [8, 20, 22])
def test_a_limit_of_open_files_that_lets_hardly_anything_be_opened(limit: int, tmp_path: Path) -> None:
    command = f"ulimit -n {limit}; {sys.executable} -m arl_core run --env py:tiny_envs:Bandit {' '.join(RUN)} --num_workers 8"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"error: the run needs 26 more open files[^\n]*ulimit -n[^\n]*\n", done.stderr)


@pytest.mark.slow
def test_too_little_memory_for_slots_says_what_to_reduce(tmp_path: Path) -> None:
    done = script(
        """
import resource
from arl_core import APPO, UserError
from tiny_envs import Bandit
model = APPO(Bandit, num_workers=1, num_envs_per_worker=64, policy_kwargs={"rollout": 4096, "batch_size": 4096})
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    model.train(100)
except UserError as error:
    print(error)
model.close()
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "shared memory" in done.stdout, done.stderr
    assert "fewer environments" in done.stdout
