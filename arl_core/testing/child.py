"""Runs one plugin's checks and reports each on a pipe: `python -m arl_core.testing.child ORDER` (JSON; see `supervise`)."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from arl_core.registry.discovery import PluginRecord
from arl_core.testing.results import Check
from arl_core.testing.subject import Subject
from arl_core.testing.suite import run_checks


def main(order: dict[str, Any]) -> None:
    """Check the plugin of `order`, one line on the pipe as each check begins and ends."""
    faulthandler.enable()  # a crash shows its place, on standard error
    subject = Subject(PluginRecord(**order["record"]), order["variant"], order["all_variants"])
    with os.fdopen(order["pipe"], "w", encoding="utf-8") as pipe:

        def say(message: dict[str, Any]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        def begun(check: Check) -> None:
            say({"event": "begin", "id": check.id, "title": check.title})

        began = time.monotonic()
        for check, result in run_checks(subject, after=order["after"], begun=begun):
            say({"event": "end", "id": check.id, **asdict(result), "seconds": round(time.monotonic() - began, 3)})
            began = time.monotonic()
        say({"event": "done"})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
