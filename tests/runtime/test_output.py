"""What processes print is shown: in whole lines, and to the last."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from run_support import eventually

from arl_core.runtime.processes.output import Output


def test_whole_lines_are_shown_and_what_has_no_end_at_last() -> None:
    shown: list[str] = []
    output = Output()
    os.write(output.writer, b"early\nha")
    output.begin(shown.append)
    assert eventually(lambda: shown == ["early"])
    os.write(output.writer, b"lf \xff\n 10%\r 20%\r")
    assert eventually(lambda: "\n".join(shown[1:]) == "half \ufffd\n 10%\n 20%")
    subprocess.run([sys.executable, "-c", "print('last words', end='')"], stdout=output.writer, check=True)
    output.close()
    assert shown[-1] == "last words"


def test_what_never_ends_a_line_is_not_kept() -> None:
    shown: list[str] = []
    output = Output()
    output.begin(shown.append)
    for _ in range(100):
        os.write(output.writer, b"." * 10_000)
    assert eventually(lambda: sum(map(len, shown)) > 900_000)
    output.close()
    assert sum(map(len, shown)) == 1_000_000


def test_nobody_need_be_shown_anything() -> None:
    output = Output()
    os.write(output.writer, b"unseen")
    ends = output.writer, output._reader
    output.close()
    for descriptor in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
