"""Interpreters for tests that have imported torch already: to import it takes two seconds, hundreds of times in all.

A server imports what runs need; `WarmPopen` has it fork, and the copy runs what `subprocess.Popen` would have run in a fresh
interpreter, as our own child: it is waited for, signalled and found as any other. What the copy starts itself, a run its
nurseries, starts afresh. Where it is tested what is imported, and how `arl` and scripts start, tests use `subprocess`.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import os
import pickle
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_MESSAGE_BYTES = 1 << 17
_ANSWER_S = 60.0  # the first comes after the imports
_ROOT = str(Path(__file__).parents[2])
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class WarmPopen(subprocess.Popen[Any]):
    """`Popen(["python", ...], start_new_session=True)`, with these arguments alone, and without pipes."""

    def __init__(
        self,
        args: Sequence[str],
        *,
        stdin: int,
        stdout: Any,
        stderr: Any,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        start_new_session: bool,
    ) -> None:
        assert (stdin, start_new_session) == (subprocess.DEVNULL, True)
        with open(os.devnull, "r+b") as null:
            streams = [null.fileno(), *(_descriptor(*pair, null.fileno()) for pair in ((stdout, 1), (stderr, 2)))]
            job = {"args": list(args)[1:], "env": dict(os.environ if env is None else env), "cwd": str(cwd or os.getcwd())}
            self.pid = _server.fork({**job, "fds": list(pass_fds)}, [*streams, *pass_fds])
        self.args, self.returncode = args, None
        self.stdin = self.stdout = self.stderr = None
        # what `Popen.wait` and `Popen.__del__` look at
        self._waitpid_lock, self._child_created, self._sigint_wait_secs = threading.Lock(), True, 0.0


def substitute(is_warm: Callable[[Sequence[str]], bool]) -> SimpleNamespace:
    """The module `subprocess`, with a `Popen` that starts warm what is said to be."""
    start()

    def popen(command: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        return WarmPopen(command, **more) if _server.serves() and is_warm(command) else subprocess.Popen(command, **more)

    return SimpleNamespace(**{**vars(subprocess), "Popen": popen})


def for_nurseries() -> SimpleNamespace:
    """Such a one, for the nurseries that shall have torch."""
    return substitute(lambda command: "arl_core.learning.process" in command[2])


def _descriptor(stream: Any, own: int, null: int) -> int:
    if stream is None:
        return own
    if stream == subprocess.DEVNULL:
        return null
    return stream if isinstance(stream, int) else int(stream.fileno())


def run(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """`subprocess.run(command, capture_output=True, text=True, ...)`."""
    start()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = WarmPopen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
        )  # fmt: skip
        try:
            process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess(command, process.returncode, *texts)


class _Server:
    """The process that forks, from its first use to the end of this one."""

    def __init__(self) -> None:
        self.pid = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """At the beginning of a test, so that its descriptor is none that the test finds new."""
        if self.pid:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno())]
        env = {**os.environ, **_ONE_THREAD, "PYTHONPATH": _ROOT}
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=env, stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        ours.settimeout(_ANSWER_S)
        self._socket, self._owner, self.pid = ours, os.getpid(), self._process.pid
        atexit.register(self._stop)

    def _stop(self) -> None:
        if self.serves():
            self._process.kill()
            self._process.wait()
            self._socket.close()

    def serves(self) -> bool:
        """Whether its copies become children of this process, which a test may have forked."""
        return bool(self.pid) and self._owner == os.getpid()

    def fork(self, job: dict[str, Any], fds: Sequence[int]) -> int:
        """Let a copy of it do `job`; returns its number."""
        with self._lock:
            _inherit_orphans(True)  # the copy's parent ends at once
            try:
                socket.send_fds(self._socket, [pickle.dumps({**job, "parent": os.getpid()})], list(fds))
                answer = self._socket.recv(8)
                assert answer, "the server has ended; see the output above"
                return int.from_bytes(answer, "little")
            except BaseException:  # a test's alarm, perhaps: the answer to come is nobody's
                self._stop()
                self.pid = 0
                raise
            finally:
                _inherit_orphans(False)


_server = _Server()
start = _server.start


def server_pid() -> int:
    """Its number, 0 before it has started."""
    return _server.pid


def _inherit_orphans(on: bool) -> None:
    assert ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) == 0


# --------------------------------------------------------------------------- the server's side


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; returns in a copy what that is to do, and None in the server when the tests have ended."""
    while True:
        body, fds, *_ = socket.recv_fds(connection, _MESSAGE_BYTES, 64)
        if not body:
            return None
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)  # so that the copy becomes the tests' child
            job: dict[str, Any] = pickle.loads(body)
            _wait_for_parent(job["parent"])
            os.setsid()
            connection.send(os.getpid().to_bytes(8, "little"))
            connection.close()
            _place(fds, [0, 1, 2, *job["fds"]])
            return job
        os.waitpid(between, 0)
        for fd in fds:
            os.close(fd)


def _wait_for_parent(parent: int) -> None:
    deadline = time.monotonic() + 10.0
    while os.getppid() != parent:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.0005)


def _place(fds: Sequence[int], numbers: Sequence[int]) -> None:
    """Give descriptors the numbers that they have in the process that sent them."""
    above = max(*numbers, *fds) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, above) for fd in fds]
    for fd in fds:
        os.close(fd)
    for fd, number in zip(moved, numbers, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def _become(args: list[str], env: Mapping[str, str], cwd: str) -> None:
    """What the interpreter does at its start with its arguments and variables."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    first, kept = args[0], sys.path[1 + len([_ROOT]) :]  # not the server's folder and its own PYTHONPATH
    begin = {"-c": "", "-m": cwd}.get(first, str(Path(cwd, first).parent))
    sys.path[:] = [begin, *(entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry), *kept]
    sys.argv[:] = [first, *args[2:]] if first in ("-c", "-m") else args
    if first == "-c":
        sys.modules["__main__"] = type(sys)("__main__")
        exec(compile(args[1], "<string>", "exec"), vars(sys.modules["__main__"]))
    elif first == "-m":
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(first, run_name="__main__")


def main(fd: int) -> None:
    """The server; in a copy of it, what was asked for."""
    from arl_core.runtime.processes.nurseries import TORCH_PRELOAD

    for name in (*TORCH_PRELOAD, "arl_core.runtime.trainer"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    job = _serve(socket.socket(fileno=fd))
    if job is not None:
        _become(job["args"], job["env"], job["cwd"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
