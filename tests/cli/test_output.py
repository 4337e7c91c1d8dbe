from __future__ import annotations

import os
import re
import subprocess
import sys

TABLE = "from arl_core.cli.output import print_table; print_table(('name', 'module'), [('maze', 'arl_plugin_maze.plugin')])"


def test_a_narrow_terminal_loses_no_text() -> None:
    theirs, ours = os.openpty()
    subprocess.run([sys.executable, "-c", TABLE], stdout=ours, env={**os.environ, "COLUMNS": "20"}, check=True, timeout=60)
    os.close(ours)
    shown = os.read(theirs, 4096).decode()
    os.close(theirs)
    assert "".join(re.sub(r"\x1b\[[\d;]*m", "", shown).split()) == "namemodulemazearl_plugin_maze.plugin"
