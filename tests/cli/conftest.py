from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


def load_fakes() -> Any:
    spec = importlib.util.spec_from_file_location("registry_fakes", Path(__file__).parents[1] / "registry" / "fakes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fakes(tmp_path: Path) -> Any:
    return load_fakes().Fakes(tmp_path / "site")
