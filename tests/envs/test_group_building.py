"""How a group is built and closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from group_support import Scripted, make_group, make_views, step

from arl_core.envs.group import EnvironmentFault, SingleEnvGroup, build_group, make_contexts
from arl_core.interfaces import ResolvedEnv, UserError


def resolved(**changes: Any) -> ResolvedEnv:
    values: dict[str, Any] = {
        "id": "test:test",
        "maker": f"{__name__}:unused",
        "kwargs": {},
        "options_model": None,
        "options": {},
        "wrappers": (),
        "max_episode_steps": None,
        "vector_maker": None,
        "dist": "",
        "version": "",
    }
    return ResolvedEnv(**{**values, **changes})


def by_value(make: Callable[..., Any], **changes: Any) -> ResolvedEnv:
    import cloudpickle

    return resolved(maker="arl_core.envs.make:make_target", code=cloudpickle.dumps(make), **changes)


def test_build_group_builds_each_environment_with_its_context() -> None:
    group = build_group(by_value(Scripted, max_episode_steps=2), make_contexts(0, 0, 3))
    assert isinstance(group, SingleEnvGroup)
    views = make_views(group)
    group.reset_into(views.obs)
    assert views.obs["obs"][:, 0].tolist() == [context.seed % 1000 for context in make_contexts(0, 0, 3)]
    step(group, views)
    step(group, views)
    assert views.truncated.all()
    group.close()


def test_life_is_shown_after_each_environment_that_was_made_or_reset() -> None:
    beats: list[int] = []
    group = build_group(by_value(Scripted, max_episode_steps=2), make_contexts(0, 0, 3), lambda: beats.append(1))
    assert isinstance(group, SingleEnvGroup)
    counts = [len(beats)]
    views = make_views(group)
    group.reset_into(views.obs)
    counts.append(len(beats))
    for _ in range(3):  # two steps to the limit, and the one that resets
        step(group, views)
        counts.append(len(beats))
    assert counts == [3, 6, 6, 6, 9]


def test_an_environment_that_cannot_be_built_is_named_and_the_others_are_closed() -> None:
    made: list[Any] = []

    def make() -> Any:
        if len(made) == 2:
            raise OSError("no display")
        made.append(Scripted())
        return made[-1]

    with pytest.raises(
        EnvironmentFault, match=r"environment 7 \(worker 2, seed \d+\) failed in construction: OSError: no disp"
    ):
        build_group(_with_target(make), make_contexts(0, 5, 4, worker=2))
    assert [env.is_closed for env in made] == [True, True]


def _with_target(make: Callable[[], Any]) -> ResolvedEnv:
    """A description whose maker is a function of this process."""
    import sys
    import types

    module = types.ModuleType("arl_test_targets")
    module.make = lambda *, options, context: make()  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return resolved(maker="arl_test_targets:make")


def test_a_users_mistake_stays_one() -> None:
    def make() -> Any:
        raise UserError("no level 'x'")

    with pytest.raises(UserError, match="no level 'x'"):
        build_group(_with_target(make), make_contexts(0, 0, 2))


@pytest.mark.parametrize("form", ["maker", "vector_maker"])
def test_a_plugins_package_that_is_missing_or_damaged_says_what_brings_it(form: str) -> None:
    def make(**kwargs: Any) -> Any:
        raise ImportError("libGL.so.1: cannot open shared object file")

    import sys
    import types

    module = types.ModuleType("arl_test_damaged")
    module.make = make  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    described = {form: "arl_test_damaged:make"}
    with pytest.raises(UserError, match=r"libGL\.so\.1.*pip install arl-plugin-corridor brings [^\n]*$"):
        build_group(resolved(**described, dist="arl-plugin-corridor"), make_contexts(0, 0, 2))
    with pytest.raises(EnvironmentFault, match="construction: ImportError"):  # the user's own code
        build_group(resolved(**described), make_contexts(0, 0, 2))


def test_a_vector_maker_is_used_where_there_is_one() -> None:
    import sys
    import types

    module = types.ModuleType("arl_test_vector")
    module.vector = lambda *, options, contexts, **kwargs: ("vector", options, len(contexts), kwargs)  # type: ignore[attr-defined]
    module.broken = lambda **kwargs: 1 // 0  # type: ignore[attr-defined]
    module.make = lambda *, options, context, **kwargs: Scripted()  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    given = {"maker": "arl_test_vector:make", "vector_maker": "arl_test_vector:vector", "kwargs": {"size": 5}}
    assert build_group(resolved(**given), make_contexts(0, 0, 3)) == ("vector", None, 3, {"size": 5})
    single = build_group(resolved(**{**given, "vector_maker": None}), make_contexts(0, 0, 3))
    assert isinstance(single, SingleEnvGroup)
    with pytest.raises(EnvironmentFault, match=r"environment 4 .*construction: ZeroDivisionError"):
        build_group(resolved(**{**given, "vector_maker": "arl_test_vector:broken"}), make_contexts(0, 4, 3))


def test_closing_closes_all_and_names_the_one_that_fails() -> None:
    group = make_group([Scripted, lambda: Scripted(close=OSError("stuck")), Scripted])
    envs: list[Any] = list(group.envs)
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* failed in close: OSError: stuck"):
        group.close()
    assert all(env.is_closed for env in envs)
    group.close()
