from __future__ import annotations

from pathlib import Path

import pytest

from arl_core.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "docs", "cpca"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8"), f"run: arl plugins docs cpca --output {PAGE}"
