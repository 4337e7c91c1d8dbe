"""What a name means, from metadata alone: which plugin provides it, and what is left for that plugin to resolve.

Spellings: `family`, `family:variant`, `dist::family[:variant]`, and historical ones that begin with a registered prefix
(`gym_CartPole-v1`, `maze-random-10x10-plus-v0`), longest prefix first.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.registry.discovery import CORE, PluginRecord, normalized, plugin_records, prefixes
from arl_core.registry.known import KNOWN_FAMILIES, install_hint, known_family


class Spelling(NamedTuple):
    """A name taken apart. `variant` is None for the bare family; `dist` is "" where the name does not say."""

    record: PluginRecord
    variant: str | None
    whole: str  # without "dist::"; what a family's aliases are keyed by
    dist: str


def family_of(env: Any) -> str:
    """The family of `env` (a name, or an environment class), without importing a plugin. Raises UserError."""
    return spell(env).record.name if isinstance(env, str) else "py"


def spell(name: str, block: Collection[str] = ()) -> Spelling:
    """Find the one plugin that `name` names. Raises UserError: unknown, conflict, blocked, broken metadata."""
    dist, separator, rest = name.partition("::")
    if not separator:
        dist, rest = "", name
    records = plugin_records(block)
    names = {record.name for record in records}
    head, colon, tail = rest.partition(":")
    if head in names:
        return Spelling(_only_record(head, dist, name, records), tail if colon else None, rest, dist)
    families = _prefixed(rest, dist, block)
    if len(families) > 1:
        choices = " or ".join(f"'{family}:...'" for family in sorted(families))
        raise UserError(f"environment '{name}' may mean {choices}: write the one you want")
    for family, prefix in families.items():
        variant = rest[len(prefix) :].lstrip("-_/")
        return Spelling(_only_record(family, dist, name, records), variant, rest, dist)
    raise UserError(_unknown(rest, records))


def _prefixed(name: str, dist: str, block: Collection[str]) -> dict[str, str]:
    """Families whose prefix begins `name`, with it; only those of the longest one."""
    found: dict[str, str] = {}
    for prefix in prefixes(block):
        if not name.startswith(prefix.text) or (dist and normalized(prefix.dist) != normalized(dist)):
            continue
        if found and len(prefix.text) < len(next(iter(found.values()))):
            break
        found[prefix.family] = prefix.text
    return found


def _only_record(family: str, dist: str, name: str, records: Collection[PluginRecord]) -> PluginRecord:
    claims = [record for record in records if record.name == family]
    if dist:
        chosen = [record for record in claims if normalized(record.dist) == normalized(dist)]
        if not chosen:
            owners = " and ".join(record.owner for record in claims)
            raise UserError(f"'{dist}' provides no environment '{family}'; {owners} does")
        record = chosen[0]
    else:
        usable = [record for record in claims if record.status in {"found", "conflict"}] or claims
        core = [record for record in usable if record.dist == CORE]
        if len(usable) > 1 and not core:
            owners = " and ".join(record.owner for record in usable)
            raise UserError(f"'{family}' is provided by {owners}. Pick one: --env {usable[0].dist}::{name}")
        record = (core or usable)[0]
    if record.status in {"blocked", "broken"}:
        raise UserError(f"environment '{name}': {record.error}")
    return record


def _unknown(name: str, records: Collection[PluginRecord]) -> str:
    known = known_family(name)
    if known:
        return f"environment '{name}' is provided by {install_hint(known)}"
    installed = sorted({record.name for record in records if record.status in {"found", "conflict"}})
    head = name.partition(":")[0]
    hint = nearest(head, [*installed, *KNOWN_FAMILIES])
    if not hint:
        gym_id = f" Gymnasium's ids are written gym:{name}." if re.fullmatch(r"[\w./-]+-v\d+", name) else ""
        return f"no environment '{name}'.{gym_id} Installed: {', '.join(installed)}"
    near = hint.split("'")[1]
    if near in installed:
        return f"no environment '{name}'.{hint}"
    return f"no environment '{name}'.{hint} It is provided by {install_hint(near)}"
