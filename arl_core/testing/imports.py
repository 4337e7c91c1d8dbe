"""What importing the hook module costs: every run that names the plugin, and every display of it, pays."""

from __future__ import annotations

from typing import Any

from arl_core.registry.loading import load
from arl_core.testing.processes import in_fresh_process
from arl_core.testing.results import CheckFailed, Result, ok, rule
from arl_core.testing.subject import Subject

BUDGET_S = 0.5
HEAVY = ("torch", "gymnasium")
_measured: dict[str, dict[str, Any]] = {}  # by target: importing is measured once


def _imported(subject: Subject) -> dict[str, Any]:
    """The import of the hook module in a fresh process: seconds, and modules beyond pluggy and NumPy."""
    target = subject.record.target
    if target not in _measured:
        for _ in range(3):  # the best of three where a busy machine is slow
            result, ended = in_fresh_process("import", target=target)
            if result is None:
                said = f": {ended.last_line}" if ended.last_line else ""
                raise CheckFailed(f"importing {target} {ended.how}{said}")
            if target not in _measured or result["seconds"] < _measured[target]["seconds"]:
                _measured[target] = result
            if result["seconds"] < BUDGET_S:
                break
    return _measured[target]


@rule(
    "import.works",
    "see it whole: python -c 'import MODULE'; what may be missing on a machine, import where it is used",
    essential=True,
)
def importable(subject: Subject) -> Result:
    """The hook module imports, in a fresh process."""
    _imported(subject)
    load(subject.record)
    return ok(subject.record.target)


@rule("import.light", "name code as 'module:attribute' and import torch and gymnasium in those modules only")
def light(subject: Subject) -> Result:
    """The hook module imports neither torch nor gymnasium."""
    modules = _imported(subject)["modules"]
    heavy = [name for name in HEAVY if name in modules]
    if heavy:
        raise CheckFailed(f"importing {subject.record.target} imports {' and '.join(heavy)}")
    return ok(f"{len(modules)} modules")


@rule("import.budget", "find the slow import: python -X importtime -m MODULE")
def within_budget(subject: Subject) -> Result:
    """The hook module imports in time."""
    seconds = _imported(subject)["seconds"]
    if seconds > BUDGET_S:
        raise CheckFailed(f"importing {subject.record.target} took {seconds:.2f} s, the budget is {BUDGET_S} s")
    return ok(f"{1000 * seconds:.0f} ms")


@rule(
    "import.apart",
    "keep only descriptions in the hook module: a rollout worker imports the environment's module, and no pluggy with it",
)
def apart_from_environment(subject: Subject) -> Result:
    """Neither the environments' modules nor the encoders' are imported by the hook module, nor are they it."""
    specs = [spec for family in subject.families for spec in family.variants]
    makers = [*(spec.maker for spec in specs), *(spec.vector_maker or "" for spec in specs)]
    makers += [spec.maker for spec in subject.encoders]
    makers += [spec.maker for spec in subject.wrappers]
    loaded = set(_imported(subject)["modules"]) | {subject.record.target}
    early = sorted({module for module in (maker.partition(":")[0] for maker in makers) if module in loaded})
    if early:
        raise CheckFailed(f"importing {subject.record.target} also imports {', '.join(early)}")
    return ok()


IMPORTS = (importable, light, within_budget)
