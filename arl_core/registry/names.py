"""What a name means, from metadata alone: which plugin provides it, and what is left for that plugin to resolve.

Spellings: `family`, `family:variant`, `dist::family[:variant]`, and historical ones that begin with a registered prefix
(`gym_CartPole-v1`, `maze-random-10x10-plus-v0`), longest prefix first. What looks like an id and is nobody's (`CartPole-v1`)
is Gymnasium's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.registry.discovery import PluginRecord, Prefix, plugin_records, prefixes
from arl_core.registry.known import KNOWN_FAMILIES, KNOWN_PARTS, install_hint, known_family, provides
from arl_core.registry.selection import ALL, PluginSelection, normalized


class Spelling(NamedTuple):
    """A name taken apart. `variant` is None for the bare family; `dist` is "" where the name does not say."""

    record: PluginRecord
    variant: str | None
    whole: str  # without "dist::"; what a family's aliases are keyed by
    dist: str


def family_of(env: Any, selection: PluginSelection = ALL) -> str:
    """The family of `env` (a name, or an environment class), without importing a plugin. Raises UserError."""
    return spell(env, selection).record.name if isinstance(env, str) else "py"


def spell(name: str, selection: PluginSelection = ALL) -> Spelling:
    """Find the one plugin that `name` names. Raises UserError: unknown, in conflict, or not usable, with the reason."""
    dist, separator, rest = name.partition("::")
    if not separator:
        dist, rest = "", name
    records = plugin_records(selection)
    names = {record.name for record in records}
    head, colon, tail = rest.partition(":")
    if head in names:
        return Spelling(only_record(head, dist, name, records), tail if colon else None, rest, dist)
    families = _prefixed(rest, dist, prefixes(selection)) or _prefixed(rest, dist, prefixes(selection, usable=False))
    if len(families) > 1:
        choices = " or ".join(f"'{family}:...'" for family in sorted(families))
        raise UserError(f"environment '{name}' may mean {choices}: write the one you want")
    for family, prefix in families.items():
        variant = rest[len(prefix) :].lstrip("-_/")
        return Spelling(only_record(family, dist, name, records), variant, rest, dist)
    if not dist and "gym" in names and _may_be_gymnasiums(rest, records):
        return Spelling(only_record("gym", dist, name, records), rest, rest, dist)
    raise UserError(_unknown(rest, records))


def records_of(name: str, selection: PluginSelection = ALL) -> list[PluginRecord]:
    """The plugins of the distribution `name`; otherwise those called `name`. Raises UserError where there is none."""
    records = plugin_records(selection)
    found = [record for record in records if normalized(record.dist) == normalized(name)]
    found = found or [record for record in records if record.name == name]
    known = known_family(name)
    if not found and known:
        raise UserError(f"plugin '{name}' is provided by {install_hint(known)}")
    if not found:
        names = sorted({text for record in records for text in (record.name, record.dist)})
        raise UserError(f"no plugin or distribution '{name}'.{nearest(name, names) or ' Installed: ' + ', '.join(names)}")
    return found


def _prefixed(name: str, dist: str, known: Iterable[Prefix]) -> dict[str, str]:
    """Families whose prefix begins `name`, with it; only those of the longest one. `known` has the longest first."""
    found: dict[str, str] = {}
    for prefix in known:
        if not name.startswith(prefix.text) or (dist and normalized(prefix.dist) != normalized(dist)):
            continue
        if found and len(prefix.text) < len(next(iter(found.values()))):
            break
        found[prefix.family] = prefix.text
    return found


def only_record(
    plugin: str, dist: str, name: str, records: Iterable[PluginRecord], what: str = "environment", flag: str = "--env"
) -> PluginRecord:
    """The claim that counts: of the distribution that the name says, or the only one that stands.

    `name` is the whole that the user wrote, after `flag`, to name a `what`."""
    claims = [record for record in records if record.name == plugin]
    if dist:
        chosen = [record for record in claims if normalized(record.dist) == normalized(dist)]
        if not chosen:
            owners = " and ".join(record.owner for record in claims)
            raise UserError(f"'{dist}' provides no {what} '{plugin}'; {owners} does")
        claims = chosen
    usable = [record for record in claims if record.usable]
    if not usable:
        raise UserError(f"{what} '{name}': {'; '.join(record.error for record in claims)}")
    standing = [record for record in usable if record.status == "found"] or usable
    if len(standing) > 1:
        owners = " and ".join(record.owner for record in standing)
        raise UserError(f"'{plugin}' is provided by {owners}. Pick one: {flag} {standing[0].dist}::{name}")
    return standing[0]


def _may_be_gymnasiums(name: str, records: Collection[PluginRecord]) -> bool:
    """Whether a name that no plugin claims looks like an id of Gymnasium's, and like nobody else's."""
    looks = re.fullmatch(r"[\w./-]+-v\d+", name) is not None
    return looks and not known_family(name) and not _near(name, records)[1]


def _near(name: str, records: Collection[PluginRecord]) -> tuple[list[str], str]:
    """Families that are installed, and a hint at the one that is meant, of these and the known ones."""
    installed = sorted({record.name for record in records if record.usable} - set(KNOWN_PARTS))
    return installed, nearest(name.partition(":")[0], [*installed, *KNOWN_FAMILIES])


def _unknown(name: str, records: Collection[PluginRecord]) -> str:
    """Why no plugin is named so: not installed, or mistyped; and what to do."""
    known = known_family(name)
    if known:
        return _not_there(f"environment '{name}'", known, records)
    installed, hint = _near(name, records)
    if not hint:
        if re.fullmatch(r"(Mlp|Cnn|MultiInput)(Lstm)?Policy", name):  # Stable-Baselines3: PPO("MlpPolicy", env)
            return f"no environment '{name}'. The environment comes first; the network follows from its observations"
        has = f"Installed: {', '.join(installed)}; arl envs PATTERN searches their variants"
        return f"no environment '{name}'. {has}. One of your own is py:my_module:MyEnv"
    near = hint.split("'")[1]
    more = "" if near in installed else f"\n  {_not_there(repr(near), near, records)}"
    return f"no environment '{name}'.{hint}{more}"


def _not_there(subject: str, family: str, records: Iterable[PluginRecord]) -> str:
    """Where a known family comes from, or what is wrong with the distribution that should have it."""
    for record in records:
        if not record.usable and provides(record.dist, family):
            return f"{subject}: {record.error}"
    return f"{subject} is provided by {install_hint(family)}"
