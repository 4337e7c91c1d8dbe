"""Freed memory stays with a run's processes: large blocks are not fetched from the kernel again, page by page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from run_support import HERE, eventually, small
from zygote_targets import FAULT_BLOCKS, FAULT_PAGES, count_faults

from arl_core.runtime.processes.zygote import Zygote

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the settings are glibc's")


def faults_of(program: str, environment: Mapping[str, str] = os.environ) -> int:
    code = (
        f"import sys; sys.path.insert(0, {HERE!r})\n{program}\nfrom zygote_targets import count_faults\nprint(count_faults())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=dict(environment), capture_output=True, text=True, check=True, timeout=60
    )
    return int(json.loads(run.stdout))


def test_freed_blocks_stay() -> None:
    keep = "from arl_core.runtime.processes.memory import keep_memory; keep_memory()"
    assert faults_of("") > FAULT_BLOCKS * FAULT_PAGES / 2, "glibc keeps such blocks by itself: the setting can go"
    assert faults_of(keep) < FAULT_PAGES / 10
    users_own = {**os.environ, "MALLOC_MMAP_MAX_": "65536"}
    assert faults_of(keep, users_own) > FAULT_BLOCKS * FAULT_PAGES / 2, "what the environment says stands"


def test_so_it_is_in_every_process_of_a_run(tmp_path: Path) -> None:
    zygote = Zygote([])
    try:
        zygote.spawn("counting", "zygote_targets:write_faults", {"file": str(tmp_path / "faults")})
        assert eventually(lambda: (tmp_path / "faults").exists() and (tmp_path / "faults").read_text())
    finally:
        zygote.close()
    assert int((tmp_path / "faults").read_text()) < FAULT_PAGES / 10


def test_and_where_everything_is_one_process() -> None:
    with small(serial=True) as model:
        model.train(64)
        assert count_faults() < FAULT_PAGES / 10
