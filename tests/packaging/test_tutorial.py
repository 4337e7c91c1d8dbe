"""docs/first-plugin.md, followed to the letter: files are written, commands are run, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_venvs import ROOT, Venv

PAGE = (ROOT / "docs" / "first-plugin.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_block_is_a_file_or_a_command() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "toml", "bash"}
    assert [text for language, text in BLOCKS if language != "bash" and not re.match(r"# [\w/.]+\n", text)] == []


@pytest.mark.slow
def test_following_the_page_gives_a_plugin_that_learns(make_venv: Callable[..., Venv], tmp_path: Path) -> None:
    venv = make_venv("arl-core[testing]")
    project = tmp_path / "arl-plugin-catch"
    project.mkdir()
    said = {}
    for language, text in BLOCKS:
        if language == "bash":
            said[text] = venv.succeed("bash", "-euc", text, cwd=project)
        else:
            file = project / text.splitlines()[0].removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    checked, tested, trained = list(said.values())[-3:]
    assert " 0 failed" in checked
    assert re.search(r"\d+ passed", tested)
    stated = re.search(r"a mean return of at least ([\d.]+\d)", PAGE)
    reached = re.search(r"return_mean +([\d.]+)", trained)
    assert stated is not None
    assert reached is not None
    assert float(reached[1]) >= float(stated[1])
