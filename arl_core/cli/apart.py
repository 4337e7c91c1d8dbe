"""Commands that look at many plugins import them in a process of its own: a plugin that exits or crashes there is told, and
hides no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from arl_core.interfaces import UserError, load_object
from arl_core.registry.discovery import PluginRecord
from arl_core.registry.loading import fault
from arl_core.runtime.processes.zygote import end_with_parent, import_path


def apart(task: str, records: Sequence[PluginRecord], **arguments: Any) -> list[tuple[Any, str]]:
    """For each plugin what `task` (`"module:function"`), called with its record and `arguments`, returns, as JSON, and "";
    or None and the error, where it raises UserError or ends the process. Then a new process goes on after it."""
    answers: list[tuple[Any, str]] = []
    while len(answers) < len(records):
        heard, code = _child(task, records[len(answers) :], arguments)
        answers += heard
        if len(answers) < len(records):
            answers.append((None, str(_ended(records[len(answers)], code))))
    return answers


def _ended(record: PluginRecord, code: int) -> UserError:
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return fault(record, f"plugin '{record.name}': {record.owner} ended the process that imported it, {how}")


def _child(task: str, records: Sequence[PluginRecord], arguments: dict[str, Any]) -> tuple[list[tuple[Any, str]], int]:
    """A process's answers, for as many records as it lived to see, and its exit code (-N after signal N)."""
    order = json.dumps({"task": task, "records": [asdict(record) for record in records], "arguments": arguments})
    code = f"import sys; sys.path[:] = {import_path()!r}\nfrom arl_core.cli.apart import answer; answer({os.getpid()})"
    done = subprocess.run([sys.executable, "-c", code], input=order, stdout=subprocess.PIPE, text=True, check=False)
    return [(value, error) for value, error in map(json.loads, done.stdout.splitlines())], done.returncode


def answer(parent: int) -> None:
    """In that process: do what is asked for on standard input, a line a plugin on standard output."""
    end_with_parent("plugins", parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    order = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what plugins print, in any language, is no answer
        task = load_object(order["task"])
        for each in order["records"]:
            try:
                said = (task(PluginRecord(**each), **order["arguments"]), "")
            except UserError as error:
                said = (None, str(error))
            answers.write(json.dumps(said) + "\n")
            answers.flush()
