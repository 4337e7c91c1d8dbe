"""What a plugin's wrappers must do, around its own default environment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium

from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext, UserError, WrapperSpec, load_object
from arl_core.registry.options import of_part, plain_names
from arl_core.testing.environments import gymnasium_says
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject


class WrapperCase:
    """One wrapper of the plugin."""

    def __init__(self, subject: Subject, spec: WrapperSpec) -> None:
        self.subject = subject
        self.spec = spec

    def __str__(self) -> str:
        return self.spec.name

    def options(self) -> Mapping[str, Any]:
        """As the family uses it; otherwise its defaults. Raises UserError where one has none."""
        used = [ref for family in self.subject.families for ref in family.wrappers if ref.name == self.spec.name]
        given = plain_names(used[0].options) if used else {}
        return of_part(f"wrapper '{self}'", given, self.spec.options, {self.spec.maker: 1})


@rule("wrapper.api", "derive from gymnasium.Wrapper, and state the spaces that it changes")
def keeps_the_api(case: WrapperCase) -> Result:
    """It wraps the plugin's environment, and what it makes is a gymnasium environment."""
    if not case.subject.variants:
        return skip("the plugin has no environment to wrap")
    maker = load_object(case.spec.maker)
    try:
        options = case.options()
    except UserError as error:
        return skip(f"needs options that the family does not give: {error}")
    parameters = list(inspect.signature(maker).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}]
    missing = [name for name in needed if name not in options]
    if missing:
        return skip(f"needs options that the family does not give: {', '.join(missing)}")
    bare = replace(case.subject.variants[0].resolved, wrappers=())
    inner = build_env(bare, EnvContext(run_seed=1, index=0, seed=1))
    try:
        wrapped = maker(inner, **options)
    except UserError as error:
        inner.close()
        return skip(f"refuses {bare.id}: {error}")
    if not isinstance(wrapped, gymnasium.Env):
        raise CheckFailed(f"{case.spec.maker} made {type(wrapped).__name__}, not a gymnasium.Env")
    try:
        notes = gymnasium_says(wrapped, thoroughly=False)
    finally:
        wrapped.close()
    if wrapped.unwrapped is not inner.unwrapped:
        raise CheckFailed("it hides the environment: `unwrapped` is another one")
    return ok(f"around {bare.id}", notes)


def wrapper_cases(subject: Subject) -> list[WrapperCase]:
    """The plugin's wrappers."""
    return [WrapperCase(subject, spec) for spec in subject.wrappers]
