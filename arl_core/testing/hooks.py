"""What pluggy does not tell an author: misspelt hooks, arguments that never arrive, results of the wrong kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from arl_core.config.layers import nearest
from arl_core.hookspecs import HOOK_NAMES, PROJECT
from arl_core.registry.discovery import plugin_records
from arl_core.testing.results import CheckFailed, Result, ok, rule
from arl_core.testing.subject import Subject


def _functions(subject: Subject) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions of the hook module that are hooks, or look as if they were meant to be."""
    for name, value in vars(subject.module).items():
        if inspect.isroutine(value) and (name.startswith("arl_") or hasattr(value, f"{PROJECT}_impl")):
            yield name, value


@rule("hooks.names", "see arl_core/hookspecs.py")
def names(subject: Subject) -> Result:
    """Every hook is one that exists."""
    found = []  # one that is not marked, or takes an unknown argument, is not loaded: `import.works` fails
    for name, _ in _functions(subject):
        if name not in HOOK_NAMES:
            raise CheckFailed(
                f"there is no hook '{name}'.{nearest(name, HOOK_NAMES)}", f"the hooks are: {', '.join(HOOK_NAMES)}"
            )
        found.append(name)
    if not found:
        raise CheckFailed("it implements no hook", "give it at least arl_environments, with @hookimpl")
    return ok(", ".join(found))


@rule(
    "hooks.signatures",
    "take some of the hook's arguments by name, without defaults, * or **: def arl_param_overrides(env, algo)",
)
def signatures(subject: Subject) -> Result:
    """Arguments are plain ones: pluggy passes nothing to any other kind."""
    for name, function in _functions(subject):
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
                raise CheckFailed(f"{name}: '{parameter}' is never passed: arguments must be plain")
            if parameter.default is not parameter.empty:
                raise CheckFailed(f"{name}: '{parameter.name}' has a default, so pluggy never passes it")
    return ok()


@rule("hooks.results", "return a list of the descriptions in arl_core.interfaces", essential=True)
def results(subject: Subject) -> Result:
    """Listing hooks return descriptions of their kind, the same ones each time."""
    described = {"families": subject.families, "encoders": subject.encoders, "wrappers": subject.wrappers}
    again = Subject(subject.record)
    for what, items in described.items():
        if getattr(again, what) != items:
            raise CheckFailed(f"two calls describe different {what}", "build descriptions from constants alone")
    return ok(", ".join(f"{len(items)} {what}" for what, items in described.items() if items))


@rule("hooks.namespace", "give each its own name, '<plugin>/<name>'")
def namespace(subject: Subject) -> Result:
    """What the plugin registers stands under its own name."""
    if subject.is_core:
        return ok("the core's own names are plain")
    dist = subject.record.dist
    own = [record.name for record in plugin_records() if record.dist == dist]
    registered = [spec.name for spec in subject.encoders], [spec.name for spec in subject.wrappers]
    for name in (*registered[0], *registered[1]):
        if name.partition("/")[0] not in own or "/" not in name:
            better = f"{subject}/{name.rpartition('/')[2]}"
            raise CheckFailed(f"'{name}' does not begin with '{subject}/'", f"call it '{better}'")
    for family in subject.families:
        if family.name not in own:
            cure = f"add {family.name} = \"{subject.record.target}\" to the entry points, or name the family '{subject}'"
            raise CheckFailed(f"the family '{family.name}' has no entry point, so nobody finds it", cure)
    for listed in registered:
        twice = {name for name in listed if listed.count(name) > 1}
        if twice:
            raise CheckFailed(f"'{min(twice)}' is described twice")
    return ok()


HOOKS = (names, signatures, results, namespace)
