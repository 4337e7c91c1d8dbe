import logging
import re
import subprocess
import sys

import pytest

from arl_core.monitoring.runlog import close_run_log, open_run_log


@pytest.fixture(autouse=True)
def no_log_stays_open():
    yield
    close_run_log()
    assert logging.getLogger("arl").handlers == []


def test_lines_carry_time_and_level(tmp_path):
    log = open_run_log(tmp_path / "run" / "arl.log")
    log.info("learner on %s", "cpu")
    logging.getLogger("arl.learning").error("from below")
    log.debug("not wanted")
    first, second = (tmp_path / "run" / "arl.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO     learner on cpu", first)
    assert second.endswith("ERROR    from below")


def test_traceback_is_in_the_file(tmp_path):
    log = open_run_log(tmp_path / "arl.log")
    try:
        raise KeyError("missing")
    except KeyError:
        log.exception("it failed")
    assert "KeyError: 'missing'" in (tmp_path / "arl.log").read_text()


def test_warnings_are_shown_too(tmp_path):
    shown: list[str] = []
    log = open_run_log(tmp_path / "arl.log", shown.append)
    log.info("quiet")
    log.warning("worker %d is late", 3)
    assert shown == ["warning: worker 3 is late"]


def test_second_run_appends_and_replaces_the_first_run(tmp_path):
    open_run_log(tmp_path / "a.log").info("one")
    open_run_log(tmp_path / "b.log").info("two")
    open_run_log(tmp_path / "a.log").info("three")
    assert [line.split()[-1] for line in (tmp_path / "a.log").read_text().splitlines()] == ["one", "three"]
    assert (tmp_path / "b.log").read_text().split()[-1] == "two"


def test_handlers_of_others_stay(tmp_path):
    foreign = logging.NullHandler()
    logging.getLogger("arl").addHandler(foreign)
    open_run_log(tmp_path / "a.log")
    assert logging.getLogger("arl").level == logging.INFO
    close_run_log()
    assert logging.getLogger("arl").level == logging.NOTSET
    assert logging.getLogger("arl").handlers == [foreign]
    logging.getLogger("arl").removeHandler(foreign)


def test_size_is_bounded(tmp_path):
    log = open_run_log(tmp_path / "arl.log", max_bytes=1000)
    for number in range(1000):
        log.warning("the same again %d", number)
    lines = (tmp_path / "arl.log").read_text().splitlines()
    assert "size limit" in lines[-1]
    assert sum("size limit" in line for line in lines) == 1
    assert (tmp_path / "arl.log").stat().st_size < 1300


def test_a_log_of_one_run_takes_no_warning_from_the_terminal(tmp_path):
    """Python shows warnings where there is no handler: the run's file is none for people."""
    code = (
        "import logging; from pathlib import Path; from arl_core.monitoring.runlog import log_of\n"
        "with log_of(Path('run.log')): logging.getLogger('arl').warning('late')\n"
        "logging.getLogger('arl').warning('after')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "late\nafter\n"
    assert (tmp_path / "run.log").read_text().endswith("WARNING  late\n")
