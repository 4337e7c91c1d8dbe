"""A broken plugin breaks only itself, and only the run that names it."""

from __future__ import annotations

from typing import Any

import pytest

HOOK = "from arl_core.hookspecs import hookimpl\n"
START = "environment 'NAME': arl-plugin-NAME 1.0 "
TAIL = "\n  Other environments still work. Details: arl plugins check arl-plugin-NAME"
BROKEN = {  # those with a source tree of their own are in test_bad_plugins.py
    "os error of two lines": (
        "raise OSError('libGL.so.1\\nmore')",
        f"{START}failed to import (NAME_module): OSError: libGL.so.1 more",
    ),
    "an exception that is none of Exception's": (
        "class Panic(BaseException): pass\nraise Panic('at the import')",
        f"{START}failed to import (NAME_module): Panic: at the import",
    ),
    "unmarked hook": (
        "def arl_environments(): return []",
        f"{START}is not a valid plugin (NAME_module): "
        "'arl_environments' lacks @hookimpl (from arl_core.hookspecs import hookimpl)",
    ),
    "no family": (
        f"{HOOK}@hookimpl\ndef arl_environments(): return []",
        f"{START}is registered under that name, but its arl_environments (NAME_module) describes: none",
    ),
    "not a list": (
        f"{HOOK}@hookimpl\ndef arl_environments(): return 3",
        "arl-plugin-NAME 1.0: arl_environments returned 3, not a list of EnvFamily",
    ),
    "hook raises": (
        f"{HOOK}@hookimpl\ndef arl_environments(): raise KeyError('x')",
        "arl-plugin-NAME 1.0: arl_environments raised KeyError: 'x'",
    ),
    "argument of a listing hook": (
        f"{HOOK}@hookimpl\ndef arl_environments(env): return []",
        f"{START}is not a valid plugin (NAME_module): hook 'arl_environments' has no argument 'env'. It takes none",
    ),
    "kwargs that are not JSON": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', (EnvSpec('v', 'm:a', {'x': object}),), 'v')]",
        "arl-plugin-NAME 1.0: an environment's kwargs are not JSON: "
        "TypeError: Object of type type is not JSON serializable",
    ),
    "vector maker given as code": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', (EnvSpec('v', 'm:a', vector_maker=print),), 'v')]",
        "arl-plugin-NAME 1.0: the vector_maker of EnvSpec 'v' is <built-in function print>, not 'module:attribute': "
        "workers import code by its name",
    ),
    "one variant instead of a list": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', EnvSpec('v', 'm:a'), 'v')]",
        "arl-plugin-NAME 1.0: the variants of EnvFamily 'NAME' is EnvSpec(id='v', maker='m:a', kwargs={}, "
        "max_episode_steps=None, summary='', vector_maker=None, deterministic=True), not tuple[EnvSpec, ...]",
    ),
    "a wrapper's name instead of a reference": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', (EnvSpec('v', 'm:a'),), 'v', wrappers=('resize',))]",
        "arl-plugin-NAME 1.0: the wrappers of EnvFamily 'NAME' is ('resize',), not tuple[WrapperRef, ...]",
    ),
    "options given as a class": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', (EnvSpec('v', 'm:a'),), 'v', options=dict)]",
        "arl-plugin-NAME 1.0: the options of EnvFamily 'NAME' is <class 'dict'>, not 'module:attribute': "
        "workers import code by its name",
    ),
    "a number as text, inside": (
        f"{HOOK}from arl_core.interfaces import *\n@hookimpl\ndef arl_environments():\n"
        " return [EnvFamily('NAME', '', (EnvSpec('v', 'm:a', {}, '50'),), 'v')]",
        "arl-plugin-NAME 1.0: the max_episode_steps of EnvSpec 'v' is '50', not int | None",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def told(make_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What naming each of the broken plugins says, all installed at once, first and again after the others."""
    fakes = make_fakes(tmp_path_factory.mktemp("broken") / "site")
    names = [f"bad{index}" for index in range(len(BROKEN))]
    for name, (source, _) in zip(names, BROKEN.values(), strict=True):
        fakes.module(f"{name}_module", source.replace("NAME", name))
        fakes.dist(f"arl-plugin-{name}", plugins={name: f"{name}_module"})
    fakes.corridor()
    found = fakes.messages(*names, "corridor", "gym:CartPole-v1")
    return dict(zip([*BROKEN, "corridor", "gym"], found.values(), strict=True))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_told(kind: str, told: dict[str, str]) -> None:
    index = list(BROKEN).index(kind)
    assert told[kind] == "error: " + f"{BROKEN[kind][1]}{TAIL}".replace("NAME", f"bad{index}")


def test_an_entry_point_names_a_module(fakes: Any) -> None:
    fakes.module("hooks_module", "plugin = object()")
    fakes.dist("arl-plugin-inside", plugins={"inside": "hooks_module:plugin"})
    (told,) = fakes.messages("inside").values()
    assert "Its entry point has to name a module, without a colon. Other environments" in told
    assert "stale" not in told


def test_broken_plugins_harm_no_other(told: dict[str, str]) -> None:
    assert (told["corridor"], told["gym"]) == ("corridor:short", "gym:CartPole-v1")


def test_a_plugin_without_environments_is_told_as_such(fakes: Any) -> None:
    fakes.module("nets", f"{HOOK}@hookimpl\ndef arl_encoders(): return []")
    fakes.dist("arl-nets", plugins={"nets": "nets"})
    told = fakes.messages("nets")["nets"]
    assert told == "error: 'nets' (arl-nets 1.0) has no environments. What it has: arl plugins show nets"


def test_installing_a_plugin_changes_no_run_that_does_not_name_it(fakes: Any) -> None:
    code = """
        import dataclasses
        from arl_core.config import Layer
        from arl_core.envs.make import resolved_to_json
        from arl_core.registry import resolve_run
        config, env = resolve_run(Layer("keyword", {"env": "gym_CartPole-v1"}), environ={})
        result = [config.config.model_dump(mode="json"), dict(config.origins), resolved_to_json(env)]
    """
    before = fakes.python(code)
    fakes.corridor()
    fakes.module("greedy", f"{HOOK}@hookimpl\ndef arl_param_overrides(env, algo): return {{'gamma': 0.5}}")
    fakes.dist("greedy", plugins={"greedy": "greedy"}, prefixes={"gym": "greedy"})
    assert fakes.python(code) == before


def test_wrong_overrides_name_the_plugin(fakes: Any) -> None:
    fakes.module(
        "bad_module",
        """
        from arl_core.hookspecs import hookimpl
        from arl_core.interfaces import EnvFamily, EnvSpec
        @hookimpl
        def arl_environments():
            return [EnvFamily("bad", "", tuple(EnvSpec(name, "m:a") for name in "abcde"))]
        @hookimpl
        def arl_param_overrides(env, algo):
            return {
                "bad:a": {"gama": 1}, "bad:b": {"gamma": 2}, "bad:c": 7, "bad:d": {"env": "x"}, "bad:e": {"plugins-block": []}
            }[env]
        """,
    )
    fakes.dist("arl-plugin-bad", plugins={"bad": "bad_module"})
    result = fakes.python(
        """
        from arl_core.config import Layer
        from arl_core.interfaces import UserError
        from arl_core.registry import resolve_run
        result = []
        for variant in "abcde":
            try:
                resolve_run(Layer("keyword", {"env": f"bad:{variant}"}), environ={})
            except UserError as error:
                result.append(str(error))
        """
    )
    tail = TAIL.replace("NAME", "bad")
    assert result == [
        "arl-plugin-bad 1.0: no configuration field 'gama'. Did you mean 'gamma'?",
        "gamma (from arl-plugin-bad 1.0): input should be less than or equal to 1, got 2",
        f"arl-plugin-bad 1.0: arl_param_overrides returned 7, not a mapping of configuration fields{tail}",
        f"arl-plugin-bad 1.0: arl_param_overrides must not set 'env'{tail}",
        f"arl-plugin-bad 1.0: arl_param_overrides must not set 'plugins-block'{tail}",
    ]
