"""Requirements between distributions (PEP 508): imported only where there is one to check, for the sake of `packaging`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from arl_core.registry.known import is_known_distribution
from arl_core.registry.selection import CORE, normalized


def complaint_about_core(owner: str, requirements: Iterable[str], installed: str) -> str:
    """What of a plugin's own requirements arl-core `installed` does not satisfy, and the cure; "" where it does.

    `owner` is the distribution's name and version. Raises ValueError where a requirement on arl-core cannot be read.
    """
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ValueError(f"Requires-Dist '{text}' cannot be read: {_first_line(error)}") from error
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if normalized(requirement.name) == CORE and applies and not _admits(requirement.specifier, installed):
            to_upgrade = CORE if _wants_newer(requirement.specifier, installed) else owner.partition(" ")[0]
            asked = f"{CORE}{requirement.specifier}"
            return f"{owner} asks for {asked}, but {CORE} {installed} is installed: pip install -U {to_upgrade}"
    return ""


def unsatisfied(requirements: Iterable[str]) -> str:
    """The first of a run's requirements that no installed distribution satisfies, and the cure; "" where all are."""
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            return f"'{text}' is not a requirement such as 'arl-plugin-maze>=0.2': {_first_line(error)}"
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name) or "(no version)"
        except PackageNotFoundError:
            known = is_known_distribution(requirement.name)
            cure = f"pip install '{text}'" if known else "install it, or change the requirement"
            return f"'{text}' is not satisfied, {requirement.name} is not installed: {cure}"
        if not _admits(requirement.specifier, installed):
            newer = _wants_newer(requirement.specifier, installed)
            cure = f"pip install -U {requirement.name}" if newer else f"pip install '{text}'"
            return f"'{text}' is not satisfied, {requirement.name} {installed} is installed: {cure}"
    return ""


def _admits(specifier: SpecifierSet, installed: str) -> bool:
    """Whether the version will do. A pre-release or local version also counts as what its number says: 0.2.0rc1 as 0.2.0."""
    exact = _version(installed)
    if exact is None:
        return not specifier
    return specifier.contains(exact, prereleases=True) or specifier.contains(exact.base_version, prereleases=True)


def _wants_newer(specifier: SpecifierSet, installed: str) -> bool:
    """Whether a later release may help, rather than an earlier one."""
    bounds = [_version(part.version.removesuffix(".*")) for part in specifier if part.operator not in {"<", "<=", "!="}]
    present = _version(installed)
    return present is None or any(bound is not None and bound >= present for bound in bounds)


def _version(text: str) -> Version | None:
    """None for what has no order: "(no version)", or any text after "==="."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
