"""What the kit does in a fresh process: `python -m arl_core.testing.fresh TASK.json RESULT.json`. No pluggy in here."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def import_target(target: str) -> dict[str, Any]:
    """Import a hook module; what it took, beyond what every hook module needs."""
    import arl_core.hookspecs  # noqa: F401  # pluggy and NumPy are everybody's

    before = set(sys.modules)
    began = time.perf_counter()
    import_module(target)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "modules": sorted(set(sys.modules) - before)}


def play_resolved(env: dict[str, Any], seed: int, steps: int) -> dict[str, Any]:
    """Build an environment from its description alone and play it."""
    from arl_core.envs.make import resolved_from_json
    from arl_core.interfaces import EnvContext
    from arl_core.testing.agents import build_joint
    from arl_core.testing.playing import play

    built = build_joint(resolved_from_json(env), EnvContext(run_seed=seed, index=0, seed=seed))
    moments = play(built, seed, steps)
    built.close()
    return {"moments": moments, "modules": sorted(sys.modules)}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"import": import_target, "play": play_resolved}


def main(order: str, answer: str) -> None:
    """Do the task in file `order`, write its result to file `answer`."""
    arguments: dict[str, Any] = json.loads(Path(order).read_text(encoding="utf-8"))
    sys.path[:] = arguments.pop("sys_path")
    result = TASKS[arguments.pop("task")](**arguments)
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
