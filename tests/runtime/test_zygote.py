"""The nursery: starts processes, tells how they ended, and leaves none."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from run_support import alive, descendants, environment, eventually

from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.zygote import Exit, Zygote, wait_for_end
from arl_core.testing.processes import child_environment

both = pytest.mark.parametrize("own_session", [False, True])  # of the program that a process starts


@pytest.fixture
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    made = Zygote(getattr(request, "param", ["json"]))
    yield made
    made.close()


def ends(zygote: Zygote, count: int = 1) -> list[Exit]:
    found: list[Exit] = []

    def enough() -> bool:
        found.extend(zygote.exits())
        return len(found) >= count

    assert eventually(enough)
    return found


def test_exit_codes_are_reported(zygote: Zygote, tmp_path: Path) -> None:
    pids = {
        zygote.spawn("a", "zygote_targets:exit_with", {"code": code}): expected
        for code, expected in ((0, 0), (3, 3), ("raise", 1), ("abort", -signal.SIGABRT))
    }
    assert {exit_.pid: exit_.code for exit_ in ends(zygote, 4)} == pids
    assert not zygote.pids


@pytest.mark.parametrize("zygote", [["zygote_targets"]], indirect=True)  # imported: they end at once
def test_no_end_is_lost_while_others_start(zygote: Zygote) -> None:
    """The report of an end may come in one piece with the answer to a request."""
    pids = [zygote.spawn("short", "zygote_targets:exit_with", {"code": 0}) for _ in range(100)]
    assert sorted(exit_.pid for exit_ in ends(zygote, 100)) == sorted(pids)
    assert not zygote.pids


def grandchild_of(zygote: Zygote, folder: Path, own_session: bool) -> tuple[int, psutil.Process]:
    """A process of the nursery's, and a program that it has started."""
    file = folder / f"child-{len(zygote.pids)}"
    pid = zygote.spawn("parent", "zygote_targets:start_child", {"file": str(file), "own_session": own_session})
    assert eventually(file.exists)
    return pid, psutil.Process(int(file.read_text()))


@both
def test_kill_ends_one_and_what_it_started_and_no_other(zygote: Zygote, own_session: bool, tmp_path: Path) -> None:
    other, its = grandchild_of(zygote, tmp_path, own_session)
    pid, grandchild = grandchild_of(zygote, tmp_path, own_session)
    zygote.kill(pid)
    assert ends(zygote) == [Exit(pid, -signal.SIGKILL)]
    assert eventually(lambda: not alive(grandchild))
    assert alive(psutil.Process(other))
    assert alive(its)
    zygote.kill(pid)  # of one that is gone: nothing


@both
def test_a_crash_takes_the_grandchildren_too(zygote: Zygote, own_session: bool, tmp_path: Path) -> None:
    kwargs = {"file": str(tmp_path / "child"), "then": "exit", "own_session": own_session}
    pid = zygote.spawn("parent", "zygote_targets:start_child", kwargs)
    assert ends(zygote) == [Exit(pid, 5)]
    grandchild = int((tmp_path / "child").read_text())
    assert eventually(lambda: not psutil.pid_exists(grandchild))


@both
def test_close_is_idempotent_and_leaves_nobody(zygote: Zygote, own_session: bool, tmp_path: Path) -> None:
    zygote.spawn("sleeper", "zygote_targets:sleep", {})
    zygote.spawn("deaf", "zygote_targets:sleep", {"ignore_signals": True})
    _, grandchild = grandchild_of(zygote, tmp_path, own_session)
    before = descendants()
    zygote.close()
    zygote.close()
    assert eventually(lambda: not any(alive(process) for process in (*before, grandchild)))


@both
def test_killing_the_nursery_ends_all_and_is_noticed(zygote: Zygote, own_session: bool, tmp_path: Path) -> None:
    pid, grandchild = grandchild_of(zygote, tmp_path, own_session)
    os.kill(zygote._process.pid, signal.SIGKILL)
    assert eventually(lambda: not psutil.pid_exists(pid))
    assert ends(zygote) == [Exit(pid, -signal.SIGKILL)]
    with pytest.raises(ComponentFailure):
        zygote.spawn("late", "zygote_targets:sleep", {})
    zygote.close()
    assert eventually(lambda: not alive(grandchild))


def test_more_descriptors_than_one_message_carries(zygote: Zygote) -> None:
    readers, writers = [], []
    for _ in range(260):
        reader, writer = os.pipe()
        readers.append(reader)
        writers.append(writer)
    try:
        zygote.share("bells", writers)
        zygote.spawn("writer", "zygote_targets:write_numbers", {})
        assert ends(zygote)[0].code == 0
        assert [os.read(reader, 8) for reader in readers] == [str(n).encode() for n in range(260)]
    finally:
        for fd in readers + writers:
            os.close(fd)


def test_descriptors_above_the_nurserys_limit_are_an_error_not_a_loss(capfd: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        zygote = Zygote([])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(100)]
    try:
        with pytest.raises(ComponentFailure):
            zygote.share("many", fds)
        assert "ulimit -n" in capfd.readouterr().err
    finally:
        zygote.close()
        for fd in fds:
            os.close(fd)


def test_sigterm_is_the_trainers_business_but_for_what_environments_start(zygote: Zygote) -> None:
    zygote.spawn("first", "zygote_targets:sleep", {})  # so that the nursery stands ready
    os.kill(zygote._process.pid, signal.SIGTERM)
    zygote.spawn("a", "zygote_targets:end_children", {})
    assert [exit_.code for exit_ in ends(zygote)] == [0]


def test_imports_are_not_waited_for_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endless.py").write_text("import time; open('begun', 'w'); time.sleep(600)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    zygote = Zygote(["endless"])
    assert eventually((tmp_path / "begun").exists)
    begin = time.monotonic()
    zygote.close()
    assert time.monotonic() - begin < 3.0


def test_a_nursery_that_still_imports_ends_with_the_trainer(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import time; open('begun', 'w'); time.sleep(600)")
    code = f"import sys, time; sys.path.append({str(tmp_path)!r})\n"
    code += "from arl_core.runtime.processes.zygote import Zygote; Zygote(['endless']); time.sleep(600)"
    trainer = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=child_environment())
    assert eventually((tmp_path / "begun").exists)
    (nursery,) = descendants(trainer.pid)
    trainer.kill()
    trainer.wait()
    assert eventually(lambda: not alive(nursery), 5.0)


def test_numbers_of_descriptors_above_what_select_takes() -> None:
    """As in a process that has opened a thousand files before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        zygote = Zygote([])
        pid = zygote.spawn("a", "zygote_targets:exit_with", {"code": 3})
        assert zygote.fileno() > 1024
        assert wait_for_end([zygote], 10.0)
        zygote.close()
        assert not psutil.pid_exists(pid)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fds:
            os.close(fd)


def test_a_nursery_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arl_core.runtime.processes.zygote._ANSWER_S", 1.0)
    zygote = Zygote([])
    os.kill(zygote._process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ComponentFailure, match=f"pid {zygote._process.pid}.* has not answered for 1 s"):
            zygote.spawn("a", "zygote_targets:sleep", {})
    finally:
        zygote.close(timeout_s=0.5)


def test_the_users_main_module_is_not_imported_again(tmp_path: Path) -> None:
    """A script without a guard would start its run once more in each process."""
    file = tmp_path / "unguarded.py"
    file.write_text(
        "import sys\n"
        "print('main runs', flush=True)\n"
        "from arl_core.runtime.processes.zygote import Zygote, wait_for_end\n"
        "z = Zygote([])\n"
        "z.spawn('x', 'zygote_targets:print_modules', {})\n"
        "assert wait_for_end([z], 10)\n"
        "z.close()\n"
    )
    done = subprocess.run(
        [sys.executable, str(file)], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("main runs") == 1
    assert "torch: False" in done.stdout


def test_the_trainers_death_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "trainer.py"
    file.write_text(
        "import sys, time\n"
        "from arl_core.runtime.processes.zygote import Zygote\n"
        "z = Zygote([])\n"
        "z.spawn('a', 'zygote_targets:sleep', {'ignore_signals': True})\n"
        f"z.spawn('b', 'zygote_targets:start_child', {{'file': {str(tmp_path / 'child')!r}}})\n"
        "time.sleep(600)\n"
    )
    trainer = subprocess.Popen([sys.executable, str(file)], env=environment())
    assert eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    below = descendants(trainer.pid)
    assert len(below) == 4  # nursery, two processes, one that one of them started
    trainer.kill()
    trainer.wait()
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)


def test_a_fork_in_the_trainer_does_not_hide_its_death(tmp_path: Path) -> None:
    """A forked child holds the trainer's end of the socket open: the nursery looks at its parent as well."""
    file = tmp_path / "trainer.py"
    file.write_text(
        "import os, time\n"
        "from arl_core.runtime.processes.zygote import Zygote\n"
        "z = Zygote([])\n"
        "z.spawn('a', 'zygote_targets:sleep', {})\n"
        "child = os.fork()\n"
        "if child:\n"
        f"    open({str(tmp_path / 'forked')!r}, 'w').write(str(child))\n"
        "time.sleep(600)\n"
    )
    trainer = subprocess.Popen([sys.executable, str(file)], env=environment())
    assert eventually(lambda: (tmp_path / "forked").exists() and (tmp_path / "forked").read_text())
    forked = psutil.Process(int((tmp_path / "forked").read_text()))
    others = [process for process in descendants(trainer.pid) if process != forked]
    assert len(others) == 2
    trainer.kill()
    trainer.wait()
    try:
        assert eventually(lambda: not any(alive(process) for process in others), 6.0)
        assert alive(forked)  # it is not ours to end
    finally:
        forked.kill()


def test_wait_for_end_is_bounded(zygote: Zygote) -> None:
    zygote.spawn("sleeper", "zygote_targets:sleep", {})
    begin = time.monotonic()
    assert not wait_for_end([zygote], 0.3)
    assert 0.25 < time.monotonic() - begin < 3.0


def test_a_nursery_that_cannot_import_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    zygote = Zygote(["no_such_module_anywhere"])
    try:
        with pytest.raises(ComponentFailure, match="has died"):
            zygote.spawn("x", "zygote_targets:sleep", {})
        assert "no_such_module_anywhere" in capfd.readouterr().err
    finally:
        zygote.close()


def test_entries_of_the_import_path_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python passes over a `Path` in `sys.path`: so do the run's processes, and those of the conformance kit."""
    monkeypatch.setattr(sys, "path", [Path("/nowhere"), *sys.path])
    zygote = Zygote([])
    try:
        zygote.spawn("x", "zygote_targets:exit_with", {"code": 3})
        assert ends(zygote)[0].code == 3
    finally:
        zygote.close()
    assert "/nowhere" not in child_environment()["PYTHONPATH"].split(os.pathsep)


def test_nothing_is_printed_into_files_that_have_the_numbers_of_streams(tmp_path: Path) -> None:
    """A trainer that was started without standard streams opens its own files under their numbers."""
    file = tmp_path / "trainer.py"
    file.write_text(
        "own = open('own.txt', 'w')\n"
        "assert own.fileno() == 1\n"
        "from arl_core.runtime.processes.zygote import Zygote, wait_for_end\n"
        "z = Zygote([])\n"
        "z.spawn('x', 'zygote_targets:print_modules', {})\n"
        "assert wait_for_end([z], 10)\n"
        "z.close()\n"
        "own.write('trained')\n"
    )
    command = f"{sys.executable} {file} >&- 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(), timeout=30, check=False)
    assert (done.returncode, (tmp_path / "own.txt").read_text()) == (0, "trained")


@pytest.mark.parametrize("where", [">/dev/full", "| true"])
def test_an_output_that_cannot_be_written_ends_nobody_else(where: str, tmp_path: Path) -> None:
    file = tmp_path / "trainer.py"
    file.write_text(
        "import sys\n"
        "from arl_core.runtime.processes.zygote import Zygote, wait_for_end\n"
        "z = Zygote([])\n"
        "other = z.spawn('other', 'zygote_targets:sleep', {})\n"
        "pid = z.spawn('printer', 'zygote_targets:print_words', {})\n"
        "found = []\n"
        "while not found:\n"
        "    found = z.exits()\n"
        "wait_for_end([z], 0.5)\n"
        "z.close() if other in z.pids else sys.exit('the other one has ended')\n"
        "assert [(exit_.pid, exit_.code) for exit_ in found] == [(pid, 3)], found\n"
    )
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    command = f"set -o pipefail; {sys.executable} {file} {where}"
    done = subprocess.run(["bash", "-c", command], env=buffered, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@both
def test_killing_the_trainer_ends_all(own_session: bool, tmp_path: Path) -> None:
    kwargs = {"file": str(tmp_path / "child"), "own_session": own_session}
    code = "import time; from arl_core.runtime.processes.zygote import Zygote\n"
    code += f"made = Zygote([]); made.spawn('parent', 'zygote_targets:start_child', {kwargs!r}); time.sleep(600)"
    trainer = subprocess.Popen([sys.executable, "-c", code], env=environment())
    try:
        assert eventually((tmp_path / "child").exists)
        below = descendants(trainer.pid)
        assert len(below) == 3
    finally:
        trainer.kill()
        trainer.wait()
    assert eventually(lambda: not any(alive(process) for process in below), 5.0)
