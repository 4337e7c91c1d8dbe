"""The examples of the hooks' pages and of the page on vectorised environments: taken from the page, installed as a
distribution of its own, and used as the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arl_core.hookspecs import HOOK_NAMES

ROOT = Path(__file__).parent.parent
PART = re.compile(r"^## Example\n(.*?)^## ", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = 'arl() { "$PYTHON" -m arl_core "$@"; }\nset -eo pipefail\n'


def install(blocks: list[tuple[str, str]], folder: Path) -> None:
    """Write the example's files, and its metadata from its pyproject.toml."""
    for _, text in (block for block in blocks if block[0] == "python"):
        name = re.match(r"# (\S+\.py)\n", text)
        assert name is not None, text
        file = folder / name[1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (project,) = [text for kind, text in blocks if kind == "toml"]
    name, version = (re.search(rf'^{key} = "(.*)"$', project, re.MULTILINE) for key in ("name", "version"))
    point = re.search(r'^\[project\.entry-points\."arl\.plugins\.v1"\]\n(\w+) = "([\w.]+)"$', project, re.MULTILINE)
    assert name is not None
    assert version is not None
    assert point is not None
    info = folder / f"{name[1].replace('-', '_')}-{version[1]}.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {each}\n" for each in re.findall(r'^dependencies = \["(.*)"\]$', project, re.MULTILINE))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name[1]}\nVersion: {version[1]}\n{requires}")
    (info / "entry_points.txt").write_text(f"[arl.plugins.v1]\n{point[1]} = {point[2]}\n")


def shell(commands: str, folder: Path) -> str:
    """What the commands print; they must succeed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ARL_")}
    path = os.pathsep.join([str(folder), str(ROOT)])
    env = {**kept, "PYTHON": sys.executable, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", SHELL + commands], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "disabled" not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str, list[str]]]:
    """Of a page's example: where it was used, what was printed, and which lines the page says are among that."""
    known: dict[str, tuple[Path, str, list[str]]] = {}

    def use(page: str) -> tuple[Path, str, list[str]]:
        if page not in known:
            folder = tmp_path_factory.mktemp(Path(page).name)
            part = PART.search((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
            assert part is not None
            blocks = BLOCK.findall(part[1])
            install(blocks, folder)
            (commands,) = [text for kind, text in blocks if kind == "bash"]
            expected = [line for kind, text in blocks if kind == "text" for line in text.splitlines()]
            known[page] = folder, shell(commands, folder), expected
        return known[page]

    return use


_WITH_ALL_CHECKS = pytest.param("vectorised-environments", marks=pytest.mark.slow)


@pytest.mark.parametrize("page", [*(f"hooks/{hook}" for hook in HOOK_NAMES), _WITH_ALL_CHECKS])
def test_the_example_runs(page: str, used: Callable[[str], tuple[Path, str, list[str]]]) -> None:
    _, printed, expected = used(page)
    plain = re.sub(r"[ \t]+", " ", printed)
    assert [line for line in expected if line not in plain] == []


def test_the_metrics_page_names_every_metric(used: Callable[[str], tuple[Path, str, list[str]]]) -> None:
    folder, _, _ = used("hooks/arl_metrics")
    lines = (folder / "train_dir" / "logged" / "metrics.jsonl").read_text().splitlines()
    told = {name for line in lines for name in json.loads(line)} - {"frames"}
    page = (ROOT / "docs" / "hooks" / "arl_metrics.md").read_text(encoding="utf-8")
    groups = ("losses/", "learner/", "env/")
    assert [name for name in sorted(told) if not name.startswith(groups) and f"`{name}`" not in page] == []
    assert {name.partition("/")[0] for name in told} >= {"returns", "episodes", "perf", "frames", "losses", "learner"}
