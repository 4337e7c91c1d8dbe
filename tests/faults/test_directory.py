"""Places that cannot be written, disks that are full, limits that are low."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from run_support import RUN, arl, environment, script

from arl_core.learning.checkpoint import checkpoints

SHORT = ("run", "--env", "py:tiny_envs:Bandit", *RUN, "--train_for_env_steps", "500")


@pytest.mark.parametrize("train_dir", ["a_file", "a_file/below", "/proc/nothing/here"])
def test_no_place_for_a_run_is_one_line(train_dir: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    done = arl(*SHORT, "--train_dir", train_dir, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write to the run directory")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the checkpoint does not fit, everything else does."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "from arl_core.cli.main import main\n"
        f"sys.exit(main({[*SHORT]!r}))\n"
    )
    file = tmp_path / "limited.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, str(file)], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    said = done.stdout + done.stderr
    assert "cannot write the checkpoint" in said
    assert "Traceback" not in done.stderr
    folder = tmp_path / "runs" / "r" / "checkpoints" / "p0"
    assert checkpoints(folder) == []
    assert list(folder.iterdir()) == []
    assert '"status": "failure"' in (tmp_path / "runs" / "r" / "summary.json").read_text()


def test_too_few_descriptors_name_the_limit(tmp_path: Path) -> None:
    done = script(
        """
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


def test_too_little_memory_for_slots_says_what_to_reduce(tmp_path: Path) -> None:
    done = script(
        """
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
