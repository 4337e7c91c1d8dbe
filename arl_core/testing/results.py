"""A check, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from unittest import SkipTest

from arl_core.interfaces import UserError
from arl_core.registry.loading import cause, place_of

S = TypeVar("S")


@dataclass(frozen=True)
class Result:
    """`message` says what was seen (or why it failed or was skipped), `cure` what to do; `notes` are no failures."""

    outcome: Literal["ok", "fail", "skip"]
    message: str = ""
    cure: str = ""
    notes: tuple[str, ...] = ()


class CheckFailed(AssertionError):
    """A rule is broken. Without a cure of its own, the check's general one is told."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message}\n  cure: {cure}" if cure else message)
        self.message = message
        self.cure = cure


def ok(message: str = "", notes: tuple[str, ...] = ()) -> Result:
    """The rule holds."""
    return Result("ok", message, notes=notes)


def skip(reason: str) -> Result:
    """There is nothing to check."""
    return Result("skip", reason)


@dataclass(frozen=True)
class Check:
    """One rule, applied to one thing. `id` is stable: `env.seeding[maze:sample-5x5]`."""

    id: str
    title: str
    cure: str
    function: Callable[[], Result]
    essential: bool = False  # where it fails, later checks would only repeat it

    def run(self) -> Result:
        """For a test: raises CheckFailed (an AssertionError), or `unittest.SkipTest`, which pytest knows too."""
        try:
            result = self.function()
        except SkipTest:
            raise
        except CheckFailed as failure:
            raise CheckFailed(failure.message, failure.cure or self.cure) from failure.__cause__
        except (Exception, SystemExit) as error:
            raise CheckFailed(_told(error), self.cure) from error
        if result.outcome == "skip":
            raise SkipTest(result.message)
        return result

    def result(self) -> Result:
        """For a report: never raises for what a plugin does, short of ending the process."""
        try:
            return self.run()
        except SkipTest as reason:
            return skip(str(reason))
        except CheckFailed as failure:
            return Result("fail", failure.message, failure.cure)

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class Rule(Generic[S]):
    """A check before it is applied: `function` takes what is checked, returns what it saw, and raises CheckFailed."""

    id: str
    cure: str
    function: Callable[[S], Result]
    essential: bool = False

    def of(self, subject: S) -> Check:
        """This rule, applied to `subject`."""
        return Check(
            f"{self.id}[{subject}]",
            (self.function.__doc__ or self.id).rstrip("."),
            self.cure,
            lambda: self._applied(subject),
            self.essential,
        )

    def _applied(self, subject: S) -> Result:
        try:
            return self.function(subject)
        except UserError as error:
            if getattr(subject, "may_refuse", False):
                raise SkipTest(f"it says: {error}") from error
            raise


def rule(id: str, cure: str, *, essential: bool = False) -> Callable[[Callable[[S], Result]], Rule[S]]:
    """Makes a rule of a function, whose docstring is the rule in one line."""
    return lambda function: Rule(id, cure, function, essential)


def _told(error: BaseException) -> str:
    """An exception on one line, with the place in the plugin's code that raised it."""
    if isinstance(error, UserError):
        return str(error)
    return f"{cause(error)}{place_of(error)}"
