from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))  # warm


@pytest.fixture(scope="session")
def make_fakes() -> Callable[[Path], Any]:
    """`fakes.Fakes`, from its file: test folders are no packages."""
    spec = importlib.util.spec_from_file_location("registry_fakes", Path(__file__).with_name("fakes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fakes: Callable[[Path], Any] = module.Fakes
    return fakes


@pytest.fixture
def fakes(make_fakes: Callable[[Path], Any], tmp_path: Path) -> Any:
    return make_fakes(tmp_path / "site")
