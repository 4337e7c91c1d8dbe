"""The example of docs/export.md: trained, exported by the command as it stands there, played without arl."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from arl_plugin_export.cli import FLAGS, USAGE, main

PAGE = Path(__file__).parents[3] / "docs" / "export.md"
README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    train, play = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (command,) = re.findall(r"^arl-export (.*)$", text, re.MULTILINE)
    seen: dict[str, Any] = {}
    exec(
        compile(
            train.replace("20_000", "1_000").replace("policy_kwargs={", 'policy_kwargs={"serial": True, '), "export.md", "exec"
        ),
        seen,
    )
    assert seen["state"].shape == (1, 64)
    assert main(shlex.split(command)) == 0
    assert "largest difference" in capsys.readouterr().out
    exec(compile(play, "export.md", "exec"), seen)
    assert float(capsys.readouterr().out) < 0.0


def test_every_flag_is_described() -> None:
    pages = [USAGE, *(page.read_text(encoding="utf-8") for page in (README, PAGE))]
    assert all(f"--{flag}" in page for flag in (*FLAGS, "FAMILY.OPTION") for page in pages)
