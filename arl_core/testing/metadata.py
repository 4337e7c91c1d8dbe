"""What a plugin's installed metadata must say. Nothing is imported here."""

from __future__ import annotations

import re
from importlib.machinery import PathFinder
from importlib.metadata import distribution
from importlib.util import find_spec

from arl_core.config.layers import nearest
from arl_core.registry.discovery import PLUGIN_GROUP, PREFIX_GROUP, prefixes
from arl_core.registry.selection import CORE, normalized
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_VERSION = re.compile(
    r"v?\d+(\.\d+)*[-_.]?((a|b|c|rc|alpha|beta|pre|post|dev)[-_.]?\d*)*(\+[\w.]+)?([-_.]?(post|dev)[-_.]?\d*)*", re.I
)


@rule("metadata.status", "what the message says")
def status(subject: Subject) -> Result:
    """Discovery can use it: no conflict, not blocked, readable."""
    record = subject.record
    if record.status != "found":
        rename = "uninstall the other claimant, or rename the entry point; a core family's name is reserved"
        raise CheckFailed(record.error, rename if record.status == "conflict" else "")
    return ok(f"{record.owner} provides '{record.name}'")


@rule(
    "metadata.name", f'in [project.entry-points."{PLUGIN_GROUP}"] use lower case, digits and hyphens, beginning with a letter'
)
def entry_point_name(subject: Subject) -> Result:
    """The entry point's name can be a family's, an option's prefix, and a namespace."""
    if not _NAME.fullmatch(subject.record.name):
        raise CheckFailed(f"the entry point is called '{subject.record.name}'")
    return ok(f"'{subject.record.name}'")


@rule(
    "metadata.target",
    "if the module exists, the installation is older than pyproject.toml: pip install -e . again",
    essential=True,
)
def entry_point_target(subject: Subject) -> Result:
    """The module that the entry point names can be found."""
    target = subject.record.target
    if not re.fullmatch(r"\w+(\.\w+)*", target):
        raise CheckFailed(f"the entry point's value is '{target}', not a module", f'write {subject} = "package.module"')
    top, *rest = target.split(".")
    spec = find_spec(top)
    name = top
    for part in rest:
        if spec is None:
            break
        name = f"{name}.{part}"
        # PathFinder, not find_spec: that would import the parents
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    if spec is None:
        raise CheckFailed(f"the entry point names {target}, but there is no module {name}")
    return ok(target)


@rule("metadata.requires", f'dependencies = ["{CORE}"]')
def requires_core(subject: Subject) -> Result:
    """The distribution depends on arl-core."""
    if subject.is_core:
        return skip("it is arl-core")
    required = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in distribution(subject.record.dist).requires or []]
    if CORE not in {normalized(name) for name in required}:
        near = nearest(CORE, required)
        raise CheckFailed(f"{subject.record.owner} does not require {CORE}.{near}")
    return ok(f"requires {CORE}")


@rule("metadata.version", "give the project a version such as 0.1.0 (PEP 440)")
def readable_version(subject: Subject) -> Result:
    """The version can be read: a run records it, and resuming compares it."""
    if not _VERSION.fullmatch(subject.record.version):
        raise CheckFailed(f"the version is '{subject.record.version}'")
    return ok(subject.record.version)


@rule(
    "metadata.prefixes", f'in [project.entry-points."{PREFIX_GROUP}"] name a family of your own, and no prefix of the core\'s'
)
def effective_prefixes(subject: Subject) -> Result:
    """Historical spellings that the distribution declares reach its families."""
    record = subject.record
    declared = {p.name: p.value for p in distribution(record.dist).entry_points if p.group == PREFIX_GROUP}
    if not declared:
        return skip("declares no historical spellings")
    effective = {(prefix.text, prefix.family) for prefix in prefixes() if prefix.dist == record.dist}
    for text, family in declared.items():
        if (text, family) not in effective:
            raise CheckFailed(f"'{text}...' does not reach '{family}': it is another distribution's, or the prefix is reserved")
    others = [prefix for prefix in prefixes() if prefix.dist != record.dist]
    notes = tuple(
        f"'{other.text}...' is '{other.family}' of {other.dist}: where a name begins with both, the longer one counts"
        for other in others
        if any(other.text.startswith(text) or text.startswith(other.text) for text in declared)
    )
    return ok(", ".join(f"{text}... is {family}" for text, family in sorted(declared.items())), notes)


METADATA = (status, entry_point_name, entry_point_target, requires_core, readable_version, effective_prefixes)
