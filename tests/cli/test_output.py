from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from arl_core.cli.main import main
from arl_core.cli.output import usage_lines

TABLE = "from arl_core.cli.output import print_table; print_table(('name', 'module'), [('maze', 'arl_plugin_maze.plugin')])"


def test_a_narrow_terminal_loses_no_text() -> None:
    theirs, ours = os.openpty()
    subprocess.run([sys.executable, "-c", TABLE], stdout=ours, env={**os.environ, "COLUMNS": "20"}, check=True, timeout=60)
    os.close(ours)
    shown = os.read(theirs, 4096).decode()
    os.close(theirs)
    assert "".join(re.sub(r"\x1b\[[\d;]*m", "", shown).split()) == "namemodulemazearl_plugin_maze.plugin"


@pytest.mark.parametrize("command", ["eval", "run", "config", "bench", "envs", "plugins check", "plugins new"])
def test_help_fits_the_terminal(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([*command.split(), "--help"]) == 0
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.split() == wide.split()


def test_a_part_of_a_usage_and_a_description_stay_together() -> None:
    text = "usage: arl eval RUN_DIR [--episodes N] [--seed N]\n\n  --seed N   of the environments of the evaluation only"
    lines = usage_lines(text, 48)
    assert lines == [
        "usage: arl eval RUN_DIR [--episodes N]",
        "                [--seed N]",
        "",
        "  --seed N   of the environments of the",
        "             evaluation only",
    ]
