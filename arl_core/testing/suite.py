"""Which checks there are for a plugin, in which order, and what is left out where one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from arl_core.interfaces import UserError
from arl_core.testing.descriptions import DESCRIPTIONS
from arl_core.testing.hooks import HOOKS
from arl_core.testing.imports import IMPORTS, apart_from_environment
from arl_core.testing.metadata import METADATA
from arl_core.testing.parts import part_checks
from arl_core.testing.results import Check, Result
from arl_core.testing.subject import Subject, find_subjects


class Stage(NamedTuple):
    """Checks of one thing. Where an essential one fails, the rest of the stage is left out; if `gate`, all later ones too."""

    checks: Sequence[Check]
    gate: bool = False


def stages(subject: Subject) -> Iterator[Stage]:
    """The checks of a plugin, cheap ones first. Raises UserError, late, for a plugin that does not load."""
    yield Stage([rule.of(subject) for rule in (*METADATA, *IMPORTS)], gate=True)
    yield Stage([rule.of(subject) for rule in (*HOOKS, apart_from_environment)], gate=True)
    yield Stage([rule.of(subject) for rule in DESCRIPTIONS], gate=True)
    if subject.variants or subject.encoders or subject.wrappers:
        yield from _built(subject)
    for checks in part_checks(subject):
        yield Stage(checks)


def _built(subject: Subject) -> Iterator[Stage]:
    """Checks of what runs: here, not above, because these modules import torch and gymnasium."""
    from arl_core.testing.encoders import ENCODERS, encoder_cases
    from arl_core.testing.environments import ENVIRONMENTS
    from arl_core.testing.groups import GROUPS, option_values
    from arl_core.testing.stacks import stacks_are_of_frames
    from arl_core.testing.training import trains
    from arl_core.testing.wrappers import WRAPPERS, wrapper_cases

    for variant in subject.variants:
        environments = [rule.of(variant) for rule in ENVIRONMENTS]
        yield Stage(
            [*environments, *(rule.of(variant) for rule in (*GROUPS, stacks_are_of_frames))],
            gate=variant is subject.variants[0],
        )
    if subject.variants:
        yield Stage([option_values.of(subject)])
    for wrapper in wrapper_cases(subject):
        yield Stage([rule.of(wrapper) for rule in WRAPPERS])
    for encoder in encoder_cases(subject):
        yield Stage([rule.of(encoder) for rule in ENCODERS])
    if subject.variants:
        yield Stage([trains.of(subject.variants[0])])


def _nothing(check: Check) -> None:
    """What is done as a check begins, where nobody wants to know."""


def run_checks(
    subject: Subject, *, after: str | None = None, begun: Callable[[Check], None] = _nothing
) -> Iterator[tuple[Check, Result]]:
    """Run the checks one after the other; what a failure makes pointless is left out.

    With `after`, only those that follow the check of that id, which has failed already; `begun` is called as each begins.
    """
    for stage in stages(subject):
        for check in stage.checks:
            outcome = "ok"
            if after is None:
                begun(check)
                result = check.result()
                yield check, result
                outcome = result.outcome
            elif check.id == after:
                after, outcome = None, "fail"
            if check.essential and outcome == "fail" and stage.gate:
                return
            if check.essential and outcome != "ok":
                break


def plugin_checks(name: str, *, all_variants: bool = False) -> list[Check]:
    """Every check of the plugins that `name` (a plugin, `plugin:variant`, a distribution) names, for pytest's `parametrize`.

    Of many variants the default one and another are built, or all. Raises UserError where nothing of that name is
    installed. Of a plugin that cannot be loaded only those checks are listed that tell why.
    """
    subjects = find_subjects(name, all_variants=all_variants)
    return [check for subject in subjects for check in _listed(subject)]


def _listed(subject: Subject) -> list[Check]:
    found: list[Check] = []
    try:
        for number, stage in enumerate(stages(subject)):
            found += stage.checks
            # in a process of its own first: what comes next imports the plugin into this one, which is pytest's
            if number == 0 and any(check.essential and check.result().outcome == "fail" for check in stage.checks):
                return found
    except UserError:
        return found  # a check that is in the list, such as `import.works`, fails with this very error
    return found
