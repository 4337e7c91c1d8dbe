"""The nursery of a run's processes: a small process that has imported what they need and starts each of them in milliseconds.

It is our own, not `multiprocessing`'s: it imports nothing of the user's `__main__` (so a script needs no guard), preloads
only what this run's processes use (rollout workers of central mode never see torch), and ends with the run. The trainer
itself never forks: it starts this process afresh and talks to it over a socket; nothing but this single-threaded
process forks. When the trainer is gone (the socket closes) it kills what it has started and ends.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TextIO

from arl_core.files import fill_standard_descriptors, readable
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.memory import keep_memory
from arl_core.runtime.processes.strays import MARK, end_strays, mark_ours

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_FDS_PER_MESSAGE = 200  # the kernel allows 253
_MESSAGE_BYTES = 1 << 16
_CHILD_POLL_S = 0.1
_STACK_PRINT_S = 0.2
_ANSWER_S = 300.0  # for an answer; the first comes after the imports, which a cold network drive makes slow


class Exit(NamedTuple):
    """A process that has ended: `code` is its exit code, or -N when signal N ended it."""

    pid: int
    code: int


def import_path() -> list[str]:
    """Where this process imports from, for another one. Python passes over entries that are not text, such as a `Path`."""
    return [entry for entry in sys.path if isinstance(entry, str)]


# --------------------------------------------------------------------------- the trainer's side


def _place(stream: TextIO | None, output: int | None) -> int | None:
    """Where a process prints that would print to `stream`, as `Popen` takes it."""
    if stream is None:
        return subprocess.DEVNULL  # a file of the user's has its descriptor, perhaps
    return output if stream.isatty() else None


class Zygote:
    """A handle on one nursery process. Raises ComponentFailure where that is gone: what it had started has ended with it.
    `output`: where it and those print what would go to a terminal."""

    def __init__(self, preload: Sequence[str], output: int | None = None) -> None:
        fill_standard_descriptors()  # the socket must not be one of them
        parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        code = (
            f"import sys; sys.path[:] = {import_path()!r}\n"
            f"from arl_core.runtime.processes.zygote import serve; serve({child.fileno()}, {list(preload)!r})"
        )
        environment = dict(os.environ)
        # numerical libraries start their threads at import, and threads do not survive the start of a child;
        # the processes compute on one thread each, the learner on as many as torch_threads says
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._mark = environment[MARK] = f"{uuid.uuid4().hex}."
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[child.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=_place(sys.__stdout__, output),
            stderr=_place(sys.__stderr__, output),
            env=environment,
            start_new_session=True,
        )
        child.close()
        parent.settimeout(_ANSWER_S)
        self._socket = parent
        self._received = b""
        self._exits: list[Exit] = []
        self.pids: dict[int, str] = {}  # alive, as far as we know

    def share(self, name: str, fds: Sequence[int]) -> None:
        """Hand descriptors over; processes started later know them as `fds[name]`."""
        for begin in range(0, len(fds), _FDS_PER_MESSAGE):
            part = list(fds[begin : begin + _FDS_PER_MESSAGE])
            self._request(("share", name, len(part)), part)

    def spawn(self, name: str, target: str, kwargs: Mapping[str, Any]) -> int:
        """Start a process that runs `target(fds=..., **kwargs)`, `target` being "module:attribute"; returns its pid."""
        pid = int(self._request(("spawn", name, target, pickle.dumps(dict(kwargs)))))
        self.pids[pid] = name
        return pid

    def fileno(self) -> int:
        """Readable when a process has ended."""
        return self._socket.fileno()

    def exits(self) -> list[Exit]:
        """Processes that ended since the last call. If the nursery itself died, all of them did (the kernel sees to it)."""
        while readable([self.fileno()], 0.0):
            if not self._read_some():
                code = self._process.wait(timeout=5.0)
                self._exits += [Exit(pid, code or -signal.SIGKILL) for pid in self.pids]
                for pid in self.pids:  # what their environments have started is in their process groups still
                    self.kill(pid)
                break
            self._exits += [Exit(*value) for kind, value in self._messages() if kind == "exit"]
        exits, self._exits = self._exits, []
        for exit_ in exits:
            self.pids.pop(exit_.pid, None)
        return exits

    def kill(self, pid: int, *, show_stack: bool = False) -> None:
        """End one process, and what its environments have started, at once. `show_stack`: let it print first where it hangs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if show_stack:
                os.kill(pid, signal.SIGUSR1)
                time.sleep(_STACK_PRINT_S)
            os.killpg(pid, signal.SIGKILL)

    def close(self, timeout_s: float = 5.0) -> None:
        """End everything. Idempotent, bounded."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        if not self.pids:  # it has nobody to end: it may import still, for seconds
            self._process.kill()
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel ends it when it comes to it
                self._process.wait(timeout=timeout_s)
        if self._process.returncode != 0:  # if the nursery was killed, its children's children may still be there
            for pid in self.pids:
                self.kill(pid)
            end_strays([self._mark])
        self.pids.clear()

    def _request(self, message: tuple[Any, ...], fds: Sequence[int] = ()) -> Any:
        body = pickle.dumps(message)
        header = len(body).to_bytes(8, "little")
        try:
            socket.send_fds(self._socket, [header], list(fds))
            self._socket.sendall(body)
            while True:
                answers = []
                for kind, value in self._messages():  # what came together with the answer, after it too, is taken
                    if kind == "answer":
                        answers.append(value)
                    else:
                        self._exits.append(Exit(*value))
                if answers:
                    return answers[0]
                if not self._read_some():
                    raise ConnectionError
        except (ConnectionError, BrokenPipeError):
            raise ComponentFailure("the process that starts the run's processes has died; see the output above") from None
        except TimeoutError:
            raise ComponentFailure(
                f"the process that starts the run's processes (pid {self._process.pid}) has not answered for {_ANSWER_S:g} s: "
                "it is stopped, or what it imports hangs"
            ) from None

    def _read_some(self) -> bool:
        part = self._socket.recv(_MESSAGE_BYTES)
        self._received += part
        return bool(part)

    def _messages(self) -> list[tuple[str, Any]]:
        found = []
        while len(self._received) >= 8:
            size = int.from_bytes(self._received[:8], "little")
            if len(self._received) < 8 + size:
                break
            found.append(pickle.loads(self._received[8 : 8 + size]))
            self._received = self._received[8 + size :]
        return found


# --------------------------------------------------------------------------- the nursery's side


def serve(fd: int, preload: Sequence[str]) -> None:
    """The nursery's main loop."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a scheduler's comes to every process: the trainer ends us
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a pipe to a terminal, perhaps
    keep_memory()
    connection = socket.socket(fileno=fd)
    trainer = os.getppid()
    _preload(preload, trainer)
    shared: dict[str, list[int]] = {}
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that a child's end interrupts the wait below
    wakeup, alarm = os.pipe()
    os.set_blocking(alarm, False)
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    try:
        while True:
            ready = readable([fd, wakeup], 1.0)
            if wakeup in ready:
                os.read(wakeup, 4096)
            _report_exits(connection, children)
            if os.getppid() != trainer:
                break  # a process that an environment has forked in the trainer may hold the socket open
            if fd in ready:
                request = _receive(connection)
                if request is None:
                    break
                _answer(connection, request, shared, children, (wakeup, alarm))
    except ConnectionError:
        pass  # the trainer is gone; what it left is ended below
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        end_strays([os.environ[MARK]])
    os._exit(0)


def _preload(modules: Sequence[str], trainer: int) -> None:
    """Import them, which takes seconds, and much longer from a cold drive: no longer than the trainer lives."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_CHILD_POLL_S):
            if os.getppid() != trainer:
                os._exit(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for module in modules:
            import_module(module)
    finally:
        done.set()
        watcher.join()  # this process has one thread when it starts others


def _receive(connection: socket.socket) -> tuple[tuple[Any, ...], list[int]] | None:
    header, ancillary, flags, _ = connection.recvmsg(8, socket.CMSG_SPACE(4 * _FDS_PER_MESSAGE))
    if flags & socket.MSG_CTRUNC:
        raise OSError("descriptors were lost on their way: the limit of open files (ulimit -n) is too low for this run")
    fds = array.array("i")
    for _, _, content in ancillary:
        fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if len(header) < 8:
        return None
    size = int.from_bytes(header, "little")
    body = b""
    while len(body) < size:
        part = connection.recv(size - len(body))
        if not part:
            return None
        body += part
    return pickle.loads(body), list(fds)


def _send(connection: socket.socket, kind: str, value: Any) -> None:
    body = pickle.dumps((kind, value))
    connection.sendall(len(body).to_bytes(8, "little") + body)


def _report_exits(connection: socket.socket, children: set[int]) -> None:
    """Report who has ended, and end what its environments have started and not ended."""
    crashed = []
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        children.discard(pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _send(connection, "exit", (pid, os.waitstatus_to_exitcode(status)))
        if status:  # an end as planned closes environments; what they forgot ends with the run
            crashed.append(f"{os.environ[MARK]}{pid}.")
    end_strays(crashed)


def _answer(
    connection: socket.socket,
    request: tuple[tuple[Any, ...], list[int]],
    shared: dict[str, list[int]],
    children: set[int],
    private: tuple[int, int],
) -> None:
    message, fds = request
    if message[0] == "share":
        shared.setdefault(message[1], []).extend(fds)
        _send(connection, "answer", len(fds))
        return
    _, name, target, kwargs = message
    _flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        children.add(pid)
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # in both processes, whoever comes first
        _send(connection, "answer", pid)
        return
    code = 1
    try:
        for fd in (connection.fileno(), *private):
            os.close(fd)
        code = _run_child(name, target, kwargs, shared, parent)
    except BaseException:  # noqa: BLE001  # nothing may return into the nursery's loop
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """Write what was printed, where it can be written: a full disk, or a reader that is gone, ends nobody."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # an environment may have put anything in their place
            stream.flush()


def _run_child(name: str, target: str, kwargs: bytes, shared: Mapping[str, list[int]], parent: int) -> int:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)
    end_with_parent(name, parent)
    mark_ours()
    module, _, attribute = target.partition(":")
    return int(getattr(import_module(module), attribute)(fds=shared, **pickle.loads(kwargs)) or 0)


def end_with_parent(name: str, parent: int) -> None:
    """Linux ends us with our parent by itself; elsewhere components look at their parent whenever they wait."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, f"arl-{name}"[:15].encode(), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def wait_for_end(zygotes: Sequence[Zygote], timeout_s: float) -> bool:
    """Wait until all processes of all nurseries have ended. False when some have not."""
    deadline = time.monotonic() + timeout_s
    while any(zygote.pids for zygote in zygotes) and time.monotonic() < deadline:
        readable([zygote.fileno() for zygote in zygotes if zygote.pids], _CHILD_POLL_S)
        for zygote in zygotes:
            zygote.exits()
    return not any(zygote.pids for zygote in zygotes)
