"""What a plugin's wrappers must do, around its own default environment or, where it has none, a plain one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

import gymnasium

from arl_core.envs.group import build_group, make_contexts, wrap_group
from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext, ResolvedEnv, UserError, WrapperSpec, load_object
from arl_core.registry.loading import cause
from arl_core.registry.options import of_part, plain_names
from arl_core.registry.resolve import resolve_env
from arl_core.testing.environments import gymnasium_says
from arl_core.testing.groups import ROWS, Recorder, compared, drawn_actions
from arl_core.testing.plain import PLAIN
from arl_core.testing.playing import play
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject

_CONTEXT = EnvContext(run_seed=1, index=0, seed=1)


class WrapperCase:
    """One wrapper of the plugin."""

    def __init__(self, subject: Subject, spec: WrapperSpec) -> None:
        self.subject = subject
        self.spec = spec

    def __str__(self) -> str:
        return self.spec.name

    @cached_property
    def bare(self) -> ResolvedEnv:
        """The environment to wrap: the plugin's own, or the first plain one that the wrapper can be played with. Raises
        UserError where it refuses some and fits none, CheckFailed where it fails around all."""
        if self.subject.variants:
            return replace(self.subject.variants[0].resolved, wrappers=(), vector_maker=None, vector_wrappers=())
        refusals, failures = [], []
        for name in PLAIN:
            wrapped = self.around(bare := resolve_env(name))
            try:
                with closing(build_env(wrapped, _CONTEXT)) as env:
                    play(env, seed=1, steps=3)
                return bare
            except UserError as error:
                refusals.append(str(error))
            except Exception as error:  # noqa: BLE001  # it may be made for others
                failures.append(f"{name}: {cause(error)}")
        if not refusals:
            cure = "refuse an environment that it is not made for with arl_core.interfaces.UserError"
            raise CheckFailed(f"it fails around every plain environment; {failures[0]}", cure)
        raise UserError(f"the plugin has no environment to wrap, and it refuses plain ones: {refusals[0]}")

    def around(self, bare: ResolvedEnv) -> ResolvedEnv:
        """`bare` in this wrapper alone, in both its forms. Raises UserError where it needs options that nothing gives."""
        return replace(bare, wrappers=((self.spec.maker, self._options),), vector_wrappers=(self.spec.vector_maker,))

    @cached_property
    def _options(self) -> Mapping[str, Any]:
        """As the family uses it; otherwise its defaults. Raises UserError where one has none."""
        used = [ref for family in self.subject.families for ref in family.wrappers if ref.name == self.spec.name]
        given = plain_names(used[0].options) if used else {}
        try:
            options = of_part(f"wrapper '{self}'", given, self.spec.options, {self.spec.maker: 1})
        except UserError as error:
            raise UserError(f"needs options that the family does not give: {error}") from error
        parameters = list(inspect.signature(load_object(self.spec.maker)).parameters.values())[1:]
        needed = [p.name for p in parameters if p.default is p.empty and p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}]
        if missing := [name for name in needed if name not in options]:
            raise UserError(f"needs options that the family does not give: {', '.join(missing)}")
        return options


@rule("wrapper.api", "derive from gymnasium.Wrapper, and state the spaces that it changes", essential=True)
def keeps_the_api(case: WrapperCase) -> Result:
    """It wraps the plugin's environment, or a plain one, and what it makes is a gymnasium environment."""
    try:
        ((maker, options),) = case.around(case.bare).wrappers
    except UserError as error:
        return skip(str(error))
    inner = build_env(case.bare, _CONTEXT)
    try:
        wrapped = load_object(maker)(inner, **options)
    except UserError as error:
        inner.close()
        return skip(f"refuses {case.bare.id}: {error}")
    if not isinstance(wrapped, gymnasium.Env):
        raise CheckFailed(f"{maker} made {type(wrapped).__name__}, not a gymnasium.Env")
    try:
        notes = gymnasium_says(wrapped, thoroughly=False)
    except UserError as error:  # where it sees the first observation, or info
        return skip(f"refuses {case.bare.id}: {error}")
    finally:
        wrapped.close()
    if wrapped.unwrapped is not inner.unwrapped:
        raise CheckFailed("it hides the environment: `unwrapped` is another one")
    return ok(f"around {case.bare.id}", notes)


@rule(
    "wrapper.vector",
    "do to each row what the single form does, in every step: the one that resets (valid False) begins the row's episode anew",
)
def vector_form_equals_single(case: WrapperCase) -> Result:
    """Its vector form around a group equals it around each environment, step for step, over several episodes."""
    if case.spec.vector_maker is None:
        return skip("has no vector_maker")
    contexts = make_contexts(1, 0, ROWS)
    wrapped = case.around(case.bare)
    with closing(build_env(wrapped, _CONTEXT)) as env:
        space = env.action_space
    group = wrap_group(build_group(case.bare, contexts), wrapped, contexts[0])
    with closing(group), closing(build_group(wrapped, contexts)) as singles:
        one, other = Recorder(group), Recorder(singles)
        return compared(one, other, drawn_actions(space, one))


WRAPPERS = (keeps_the_api, vector_form_equals_single)


def wrapper_cases(subject: Subject) -> list[WrapperCase]:
    """The plugin's wrappers."""
    return [WrapperCase(subject, spec) for spec in subject.wrappers]
