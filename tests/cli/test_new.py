"""`arl plugins new`: what it writes, and what it refuses. That it works is tests/packaging/test_out_of_tree.py's."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import arl_core
from arl_core.cli.main import main
from arl_core.cli.plugin_commands.new import FILES

RULE = "use lower case letters, digits and single hyphens, beginning with a letter."
TEMPLATES = Path(arl_core.__file__).parent / "scaffold" / "plugin"


def test_every_template_is_written_and_every_name_filled_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "two-rooms", "--dir", str(tmp_path)]) == 0
    project = tmp_path / "arl-plugin-two-rooms"
    said = capsys.readouterr().out
    assert [
        word for word in ("pip install -e", "arl run --env two-rooms", "arl plugins check two-rooms") if word not in said
    ] == []
    assert [path.name for path in tmp_path.iterdir()] == ["arl-plugin-two-rooms"]
    written = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert written == {path.replace("$package", "arl_plugin_two_rooms") for path in FILES}
    assert set(FILES.values()) == {path.name for path in TEMPLATES.iterdir()}
    for path in written:
        text = (project / path).read_text()
        assert "$" not in text.replace("${{ matrix.python }}", ""), path
        if path.endswith(".py"):
            ast.parse(text)
    assert "class TwoRoomsEnv(" in (project / "src/arl_plugin_two_rooms/env.py").read_text()
    assert os.stat(project).st_mode == os.stat(project / "src").st_mode


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Two_Rooms", f"'Two_Rooms': {RULE} Did you mean 'two-rooms'?"),
        ("2d", f"'2d': {RULE} Did you mean 'd'?"),
        ("ä", f"'ä': {RULE}"),
        ("../x", f"'../x': {RULE} Did you mean 'x'?"),
        ("arl-plugin-demo", "'arl-plugin-demo': the project's name is made from the environment's: arl plugins new demo"),
        ("class", "'class' is a word of Python's: choose another name"),
        ("neverland", "'neverland' is taken: arl-plugin-neverland provides 'neverland' and names that begin like it"),
        ("maze-hard", "'maze-hard' is taken: arl-plugin-maze provides 'maze' and names that begin like it"),
        ("x" * 21, f"'{'x' * 21}' has 21 letters, and more than 20 are hard to type"),
    ],
)
@pytest.mark.usefixtures("neverland")
def test_names_that_are_refused(name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", name, "--dir", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gym", "py", "maze"])
def test_installed_families_are_taken(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", name]) == 2
    assert capsys.readouterr().err.startswith(f"error: '{name}' is taken: arl-")


def test_nothing_is_overwritten_or_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "arl-plugin-demo"
    target.mkdir()
    words = ["plugins", "new", "demo", "--dir", str(tmp_path)]
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {target} exists already: move it away, or choose another name or --dir\n"
    assert list(target.iterdir()) == []
    target.rmdir()
    assert main([*words[:-1], str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"error: --dir: there is no folder {tmp_path / 'nowhere'}\n"
    monkeypatch.setitem(FILES, "README.md/deeper", "README.md.tmpl")  # a folder where a file is: writing fails in the middle
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write {target}: ")
    assert list(tmp_path.iterdir()) == []


def test_it_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new"]) == 2
    assert capsys.readouterr().err == "error: arl plugins new: name the environment, such as arl plugins new corridor\n"
