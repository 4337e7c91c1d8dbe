"""A plugin's checks in a process of their own: whatever a plugin does to it is a result.

The child says which check it begins. Where it dies or hangs, that check has failed, and a new child goes on after it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from arl_core.testing.processes import Ended, child_environment, end_group
from arl_core.testing.results import Result
from arl_core.testing.subject import Subject

CHECK_TIMEOUT_S = 150.0  # more than the processes that a check itself starts are given
IMPORTS_TIMEOUT_S = 60.0  # between checks: torch alone takes seconds, more on a busy machine


@dataclass(frozen=True)
class Report:
    """A check that has ended."""

    id: str
    title: str
    result: Result
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"id": self.id, "title": self.title, **asdict(self.result), "seconds": self.seconds}


def supervised(subject: Subject, timeout_s: float = CHECK_TIMEOUT_S) -> Iterator[Report]:
    """Run the checks of a plugin in child processes; each check has `timeout_s`, and what is imported before it has its own."""
    after: str | None = None
    while True:
        child = _Child(subject, after)
        try:
            yield from child.reports(timeout_s)
        finally:
            ended = child.end()
        if child.done:
            return
        if child.begun is None:
            said = f": {ended.last_line}" if ended.last_line else ""
            yield Report(f"check[{subject}]", "the checks run", Result("fail", f"the process {ended.how}{said}"), 0.0)
            return
        after, title, began = child.begun
        seconds = round(time.monotonic() - began, 3)
        yield Report(after, title, Result("fail", *_story(ended, timeout_s)), seconds)


def _story(ended: Ended, timeout_s: float) -> tuple[str, str]:
    if ended.code is None:
        return f"it did not end within {timeout_s:g} s", "find what waits: a lock, a server, a window, an endless loop"
    said = [line.strip() for line in ended.stderr.splitlines() if line.strip().startswith("File ")]
    place = f" at {said[0]}" if said else ""
    return f"the process {ended.how}{place}", "see it: run the same steps with python -X faulthandler"


class _Child:
    """The child process, its pipe, and the check that it is at: (id, title, when it began)."""

    def __init__(self, subject: Subject, after: str | None) -> None:
        self.done = False
        self.begun: tuple[str, str, float] | None = None
        self._timed_out = False
        self._pipe, far_end = os.pipe()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in `end`
        order = {
            "record": asdict(subject.record),
            "variant": subject.variant,
            "all_variants": subject.all_variants,
            "after": after,
            "pipe": far_end,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "arl_core.testing.child", json.dumps(order)],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what a plugin prints is no report
            stderr=self._errors,
            pass_fds=(far_end,),
            start_new_session=True,
        )
        os.close(far_end)

    def reports(self, timeout_s: float) -> Iterator[Report]:
        """What the child reports, until it ends or is silent for too long."""
        rest = b""
        while select.select([self._pipe], [], [], timeout_s if self.begun else max(timeout_s, IMPORTS_TIMEOUT_S))[0]:
            received = os.read(self._pipe, 65536)
            if not received:
                return
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                report = self._heard(json.loads(line))
                if report is not None:
                    yield report
        self._timed_out = True

    def _heard(self, message: dict[str, Any]) -> Report | None:
        event = message.pop("event")
        if event == "begin":
            self.begun = (message["id"], message["title"], time.monotonic())
            return None
        if event == "done":
            self.done = True
            return None
        assert self.begun is not None
        title, self.begun = self.begun[1], None
        name, seconds = message.pop("id"), message.pop("seconds")
        return Report(name, title, Result(**{**message, "notes": tuple(message["notes"])}), seconds)

    def end(self) -> Ended:
        """See the process ended, in any case; how it did."""
        if not self._timed_out:
            try:
                self._process.wait(10.0)  # its pipe is closed: it is about to end
            except subprocess.TimeoutExpired:
                self._timed_out = True
        end_group(self._process)
        os.close(self._pipe)
        with self._errors as errors:
            errors.seek(0)
            return Ended(None if self._timed_out else self._process.returncode, "", errors.read())
