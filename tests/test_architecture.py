"""The house: arrows point one way, nothing heavy is imported early, every option is read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arl_core.config.schema import RunConfig

CORE = Path(__file__).parent.parent / "arl_core"
MAY_IMPORT: dict[str, set[str]] = {
    "interfaces": set(),
    "hookspecs": {"interfaces"},
    "config": {"interfaces"},
    "spaces": {"interfaces"},
    "files": set(),
    "ipc": {"interfaces"},
    "envs": {"interfaces", "spaces", "files"},
    "registry": {"interfaces", "hookspecs", "config", "envs"},
    "models": {"interfaces", "config", "spaces"},
    "algorithms": {"interfaces", "config", "models"},
    "sampling": {"interfaces", "ipc", "envs", "models"},
    "learning": {"interfaces", "config", "ipc", "algorithms", "models", "files"},
    "monitoring": {"interfaces", "files"},
}


def imports_of(path: Path) -> set[str]:
    """Rooms of arl_core that a file imports."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("arl_core.")}
    return rooms - {"_version"}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_arrows_point_one_way(room: str) -> None:
    files = [CORE / f"{room}.py"] if (CORE / f"{room}.py").exists() else sorted((CORE / room).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(CORE)): sorted(imports_of(f) - MAY_IMPORT[room] - {room}) for f in files}
    assert {name: rooms for name, rooms in wrong.items() if rooms} == {}


def test_processes_know_no_engine_and_engines_no_trainer() -> None:
    rooms = {"processes": {"processes"}, "engines": {"engines", "processes", "plan"}}
    for room, may in rooms.items():
        for file in sorted((CORE / "runtime" / room).rglob("*.py")):
            imported = re.findall(r"^\s*from arl_core\.runtime\.(\w+)", file.read_text(), re.MULTILINE)
            assert set(imported) <= may, file.name


def test_only_its_command_imports_the_conformance_kit() -> None:
    files = [path for path in CORE.rglob("*.py") if path.parent.name != "testing" and "testing" in imports_of(path)]
    assert [str(path.relative_to(CORE)) for path in files] == ["cli/plugin_commands/check.py"]


def loaded_by(code: str) -> set[str]:
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"], check=True, capture_output=True, text=True
    ).stdout
    return set(out.splitlines()[-1].split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not loaded_by("import arl_core") & {"torch", "gymnasium", "pydantic", "pluggy", "numpy"}


def test_a_central_rollout_worker_needs_no_torch() -> None:
    assert "torch" not in loaded_by("import arl_core.sampling.rollout_worker, arl_core.runtime.processes.entry")


def test_a_worker_builds_wrappers_without_torch_and_pydantic() -> None:
    assert not loaded_by("import arl_core.envs.wrappers, arl_core.envs.group") & {"torch", "pydantic", "pluggy"}


def test_every_option_is_read_somewhere() -> None:
    sources = [p.read_text() for p in CORE.rglob("*.py") if p.name != "schema.py"]
    unread = [name for name in RunConfig.model_fields if not any(f".{name}" in text for text in sources)]
    assert unread == []


def test_the_vocabulary_stays_short() -> None:
    assert len((CORE / "interfaces.py").read_text().splitlines()) < 300


def test_no_file_is_long() -> None:
    lengths = {str(p.relative_to(CORE)): len(p.read_text().splitlines()) for p in CORE.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > 400} == {}
