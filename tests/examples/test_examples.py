"""The programs in examples/ run as they are, with fewer frames."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, frames: int, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), str(frames)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_cartpole(tmp_path: Path) -> None:
    out = run("cartpole.py", 8_000, tmp_path).stdout
    frames = re.search(r"^([\d,]+) frames at [\d,]+ frames/s, mean return \d", out)
    assert frames is not None
    assert int(frames[1].replace(",", "")) >= 4_000
    assert re.search(r"first action: [01]\n$", out)


def test_maze_plus(tmp_path: Path) -> None:
    pytest.importorskip("arl_plugin_maze")
    out = run("maze_plus.py", 10_000, tmp_path).stdout
    steps, shortest = (int(number) for number in re.findall(r"steps (\d+), the shortest way has (\d+)", out)[0])
    assert 10 <= shortest <= steps <= 100
    assert (tmp_path / "maze_plus.png").stat().st_size > 1000


def test_evolution(tmp_path: Path) -> None:
    out = run("evolution.py", 6_000, tmp_path).stdout.splitlines()
    assert [line.split(":")[0] for line in out] == ["generation 0", "generation 1", "generation 2", "best"]
    best = re.fullmatch(r"best: member (\d), return (\d+), learning rate [\d.e-]+", out[-1])
    assert best is not None
    assert out[-2].startswith(f"generation 2: {best[1]}: {best[2]}, ")
    assert torch.load(tmp_path / "best.pt", weights_only=True)


def test_river_pixels(tmp_path: Path) -> None:
    pytest.importorskip("nle", reason="NetHack is not installed: pip install arl-plugin-minihack")
    done = run("river_pixels.py", 1_000, tmp_path)
    assert done.stdout.splitlines()[-1].startswith("Status(success, frames=")
    assert done.stderr.count("with_pbt: a population of one policy has nobody to learn from: this is a plain run") == 1


def test_every_program_is_listed_and_tested() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"`python examples/(\w+\.py)`", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    tested = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert programs == listed == tested
