"""A good plugin (the one that `arl plugins new` writes), and what a test changes in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from arl_core.cli.plugin_commands.new import write_project

pytest_plugins = ["arl_core.testing.pytest_plugin"]

Changes = Mapping[str, tuple[str, str]]


@pytest.fixture
def install_plugin(fake_distribution: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Install the plugin `name`, whose module `file` has `new` in place of `old` for each of the changes."""

    def install(name: str, changes: Changes | None = None, more: Mapping[str, str] | None = None, **metadata: Any) -> Path:
        project = tmp_path / f"arl-plugin-{name}"
        write_project(name, project)
        package = f"arl_plugin_{name}"
        source = project / "src"
        files = {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.py")}
        for file, (old, new) in (changes or {}).items():
            path = f"{package}/{file}"
            assert old in files[path], f"{file} does not hold {old!r}"
            files[path] = files[path].replace(old, new)
        files |= {f"{package}/{file}": text for file, text in (more or {}).items()}
        defaults: dict[str, Any] = {"plugins": {name: f"{package}.plugin"}, "files": files}
        return fake_distribution(f"arl-plugin-{name}", **{**defaults, **metadata})

    return install
