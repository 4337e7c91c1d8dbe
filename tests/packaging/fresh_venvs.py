"""Virtual environments that are fresh for everything of ours: other people's packages are seen by links, ours are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_LINKED = ("arl", "__editable__", "__pycache__", "_distutils_hack", "distutils-precedence", "pip", "setuptools", "wheel")


class Venv:
    """A virtual environment."""

    def __init__(self, folder: Path, third_party: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        (self.site / "third_party.pth").write_text(f"{third_party}\n")
        # torch requires a newer setuptools than venv brings along, and the one in the environment is not linked
        self.succeed("pip", "install", "--quiet", "--upgrade", "setuptools>=77.0.3", cwd=folder)

    @property
    def site(self) -> Path:
        """Its site-packages."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def environment(self) -> dict[str, str]:
        """Variables as after activating it, with nothing of this process's import path."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ARL_") and k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        return {**kept, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *command: str | Path, cwd: Path, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run a command as after activating it."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def succeed(self, *command: str | Path, cwd: Path, timeout_s: float = 180.0) -> str:
        """Run a command that must end well. Returns its standard output."""
        done = self.run(*command, cwd=cwd, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to the packages of this environment that are not ours."""
    folder = tmp_path_factory.mktemp("third_party")
    for entry in [Path(entry) for entry in sys.path if entry.endswith("site-packages")]:
        for item in entry.iterdir():
            link = folder / item.name
            if not item.name.startswith(NOT_LINKED) and item.suffix != ".pth" and not link.exists():
                link.symlink_to(item)
    return folder


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` builds."""
    folder = tmp_path_factory.mktemp("dist")
    build_dist(folder)
    return folder


def build_dist(folder: Path) -> None:
    """`make dist` into `folder`."""
    command = ["make", "dist", f"DIST={folder}", f"VENV={sys.prefix}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def make_venv(tmp_path: Path, third_party: Path, dist: Path) -> Callable[..., Venv]:
    """A fresh environment with some of the wheels of `dist`, found without any index."""

    def make(*requirements: str) -> Venv:
        venv = Venv(tmp_path / "venv", third_party)
        venv.succeed("pip", "install", "--quiet", "--no-index", "--find-links", dist, *requirements, cwd=tmp_path)
        return venv

    return make
