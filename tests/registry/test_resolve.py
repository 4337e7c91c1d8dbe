from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from arl_core.interfaces import UserError
from arl_core.registry import resolve_env
from arl_core.registry.catalog import encoder_maker, wrapper_spec
from arl_core.registry.names import family_of
from arl_core.registry.options import checked
from arl_core.registry.selection import PluginSelection


@pytest.fixture(scope="module")
def corridor_results(make_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What every spelling of the corridor's names resolves to, in one fresh interpreter."""
    fakes = make_fakes(tmp_path_factory.mktemp("corridor") / "site")
    fakes.corridor()
    fakes.dist("plugin-longer", plugins={"hall": "hall"}, prefixes={"corridor-hall-": "hall"})
    source = (fakes.folder / "arl_plugin_corridor.py").read_text()
    fakes.module("hall", source.replace('"corridor"', '"hall"').replace("corridor/", "hall/"))
    return fakes.messages(*SPELLINGS, *MISTAKES)


SPELLINGS = {
    "corridor": "corridor:short",
    "corridor:long": "corridor:long",
    "corridor:corridor-long-v0": "corridor:long",
    "corridor-long-v0": "corridor:long",
    "corridor-short": "corridor:short",
    "corridor-hall-long": "hall:long",
    "arl-plugin-corridor::corridor": "corridor:short",
    "arl_plugin_corridor::corridor:long": "corridor:long",
    "arl-plugin-corridor::corridor-long-v0": "corridor:long",
    "gym:CartPole-v1": "gym:CartPole-v1",
    "gym_CartPole-v1": "gym:CartPole-v1",
    "arl-core::gym:CartPole-v1": "gym:CartPole-v1",
    "gym:Taxi-v3": "gym:Taxi-v3",
    "gym-vector:CartPole-v1": "gym-vector:CartPole-v1",
    "gym-vector:gymnasium:CartPole-v1": "gym-vector:gymnasium:CartPole-v1",
    "gym:gymnasium:CartPole-v1": "gym:gymnasium:CartPole-v1",
    "py:gymnasium.envs.classic_control:CartPoleEnv": "py:gymnasium.envs.classic_control:CartPoleEnv",
}

OWNER = "(arl-plugin-corridor 0.3.1)"
GYM_HINT = "Ids that another package registers are written gym:<module>:<id>, with the module to import"
MISTAKES = {
    "coridor": "error: no environment 'coridor'. Did you mean 'corridor'?",
    "Corridor:long": "error: no environment 'Corridor:long'. Did you mean 'corridor'?",
    "corridor:lonk": f"error: no environment 'corridor:lonk' in 'corridor' {OWNER}. Did you mean 'corridor:long'?",
    "corridor-long-v1": (f"error: no environment 'corridor-long-v1' in 'corridor' {OWNER}. Did you mean 'corridor-long-v0'?"),
    "corridor:zzzzzzzz": f"error: no environment 'corridor:zzzzzzzz' in 'corridor' {OWNER}. It has: short, long",
    "corridor:": f"error: no environment 'corridor:' in 'corridor' {OWNER}. It has: short, long",
    "nobody::corridor": "error: 'nobody' provides no environment 'corridor'; arl-plugin-corridor 0.3.1 does",
    "neverlnd": (
        "error: no environment 'neverlnd'. Did you mean 'neverland'?\n"
        "  'neverland' is provided by arl-plugin-neverland, which is not installed: pip install arl-plugin-neverland"
    ),
    "never_here": (
        "error: environment 'never_here' is provided by arl-plugin-neverland, which is not installed: "
        "pip install arl-plugin-neverland"
    ),
    "gym:CartPol-v1": f"error: no environment 'gym:CartPol-v1'. Did you mean 'gym:CartPole-v1'? {GYM_HINT}",
    "gym:corridor-long-v0": (
        "error: no environment 'gym:corridor-long-v0'. Did you mean 'corridor-long-v0' (plugin corridor)? " + GYM_HINT
    ),
    "gym": (
        "error: environment 'gym' needs a variant, gym:NAME: "
        "any id registered with Gymnasium or the legacy gym package: gym:CartPole-v1, gym:<module>:<id>"
    ),
    "gym:no_such_module:X-v0": (
        "error: environment 'gym:no_such_module:X-v0': module 'no_such_module' cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ),
    "gym-vector:CartPol-v1": "error: no environment 'gym-vector:CartPol-v1'. Did you mean 'gym-vector:CartPole-v1'?",
    "gym-vector:Acrobot-v1": (
        "error: environment 'gym-vector:Acrobot-v1': its registration has no vector environment; "
        "gym:Acrobot-v1 steps single ones"
    ),
    "gym-vector:no_such_module:X-v0": (
        "error: environment 'gym-vector:no_such_module:X-v0': module 'no_such_module' cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ),
    "py:os": "error: environment 'py:os': write py:module:attr, such as py:my_package.envs:MyEnv",
    "py:os:sep": "error: environment 'py:os:sep' is not callable, got '/'",
    "py:os:nope": (
        "error: environment 'py:os:nope' cannot be imported: AttributeError: module 'os' has no attribute 'nope'. "
        "Did you mean 'open'?"
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling(name: str, corridor_results: dict[str, str]) -> None:
    assert corridor_results[name] == SPELLINGS[name]


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str, corridor_results: dict[str, str]) -> None:
    assert corridor_results[name] == MISTAKES[name]
    assert all(line.startswith("  ") for line in corridor_results[name].splitlines()[1:])


def test_an_id_that_no_plugin_claims_is_gymnasiums() -> None:
    assert resolve_env("CartPole-v1").id == "gym:CartPole-v1"
    with pytest.raises(UserError, match=r"no environment 'gym:CartPol-v1'\. Did you mean 'gym:CartPole-v1'\?"):
        resolve_env("CartPol-v1")


def test_conflict_names_both_and_the_way_out(fakes: Any) -> None:
    fakes.corridor()
    fakes.corridor("acme-corridor", "2.0")
    found = fakes.messages("corridor:long", "acme-corridor::corridor:long", "gym:CartPole-v1")
    assert found == {
        "corridor:long": (
            "error: 'corridor' is provided by acme-corridor 2.0 and arl-plugin-corridor 0.3.1. "
            "Pick one: --env acme-corridor::corridor:long"
        ),
        "acme-corridor::corridor:long": "corridor:long",
        "gym:CartPole-v1": "gym:CartPole-v1",
    }
    chosen = fakes.python(
        """
        from arl_core.config import Layer
        from arl_core.registry import resolve_run
        config, env = resolve_run(Layer("keyword", {"env": "acme-corridor::corridor"}), environ={})
        chosen = Layer("keyword", {"env": "corridor", "plugins_block": ["acme_corridor"]})
        blocked, other = resolve_run(chosen, environ={})
        result = [config.config.env, env.dist, env.version, config.origin("gamma"), other.dist, blocked.origin("gamma")]
        """
    )
    assert chosen == [
        "acme-corridor::corridor:short", "acme-corridor", "2.0", "acme-corridor 2.0",
        "arl-plugin-corridor", "arl-plugin-corridor 0.3.1",
    ]  # fmt: skip


def test_a_blocked_core_is_named() -> None:
    with pytest.raises(UserError, match="environment 'gym:CartPole-v1': arl-core is excluded by plugins_block"):
        resolve_env("gym:CartPole-v1", selection=PluginSelection(block=("arl-core",)))


def test_options_as_text_and_values_and_their_mistakes(fakes: Any) -> None:
    fakes.corridor()
    result = fakes.python(
        """
        from arl_core.config.sources import Text
        from arl_core.interfaces import UserError
        from arl_core.registry import resolve_env
        typed = {"view": Text("far"), "slippery": Text("yes"), "doors": Text("[1, 2]"), "width": Text("none")}
        result = [resolve_env("corridor", typed).options]
        result += [resolve_env("corridor", {"slippery": True, "width": "3"}).options]
        for wrong in ({"veiw": 1}, {"view": "farr"}, {"width": 0}, {"zzz": 1}):
            try:
                resolve_env("corridor", wrong)
            except UserError as error:
                result.append(str(error))
        """
    )
    assert result == [
        {"view": "far", "slippery": True, "doors": [1, 2], "width": None},
        {"view": "near", "slippery": True, "doors": [], "width": 3},
        "no option 'corridor.veiw'. Did you mean 'corridor.view'?",
        "corridor.view: input should be 'near' or 'far', got 'farr'. Did you mean 'far'?",
        "corridor.width: input should be greater than or equal to 1, got 0",
        "no option 'corridor.zzz'. It has: view, slippery, doors, width",
    ]


def test_constructor_options_are_checked_against_the_constructor() -> None:
    resolved = resolve_env("gym:CartPole-v1", {"sutton-barto-reward": True})
    assert resolved.options == {"sutton_barto_reward": True}
    with pytest.raises(UserError, match=r"takes no option 'sutton_bart_reward'\. Did you mean 'sutton_barto_reward'"):
        resolve_env("gym:CartPole-v1", {"sutton_bart_reward": True})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wind": {"strenght": 1}}, "no option 'sea.wind.strenght'. Did you mean 'sea.wind.strength'?"),
        ({"wind": {"strenght": 1, "gusty": 1}}, "no option 'sea.wind.strenght'. Did you mean 'sea.wind.strength'?"),
        ({"wind": {"x": 1}}, "no option 'sea.wind.x'. 'sea.wind' has: strength, gusts"),
        ({"wind": {"strength": "x", "gusts": 3}}, "sea.wind.strength: input should be a valid number, "),
        ({"y": 1}, "no option 'sea.y'. It has: wind"),
    ],
)  # fmt: skip
def test_a_mistake_inside_an_option_is_told_with_what_is_there(values: dict[str, Any], message: str) -> None:
    class Wind(BaseModel):
        model_config = ConfigDict(extra="forbid")
        strength: float = 0.0
        gusts: bool = False

    class Sea(BaseModel):
        model_config = ConfigDict(extra="forbid")
        wind: Wind | None = None

    with pytest.raises(UserError) as caught:
        checked(values, Sea, "options of 'sea'", "sea.")
    assert str(caught.value).startswith(message)


def test_what_the_core_gives_a_wrapper_is_no_option(fakes: Any) -> None:
    fakes.corridor()
    told = fakes.python(
        """
        from arl_core.interfaces import UserError
        from arl_core.registry import resolve_env
        try:
            resolve_env("corridor", {}, [{"name": "corridor/double", "options": {"env": 2}}])
        except UserError as error:
            result = str(error)
        """
    )
    assert told == "wrapper 'corridor/double' takes no option 'env'. It takes: factor"


@pytest.mark.parametrize(
    ("wrappers", "message"),
    [
        ([{"name": "frame-stak"}], "no wrapper 'frame-stak'. Did you mean 'frame-stack'?"),
        (
            [{"name": "frame-stack", "options": {"kk": 2}}],
            "wrapper 'frame-stack' has no option 'kk'. Did you mean 'k'?",
        ),
        ([{"nam": "x"}], "wrappers: expected {\"name\": ..., \"options\": {...}}, got {'nam': 'x'}"),
        ([{"name": "nobody/frame"}], "no wrapper 'nobody/frame': no plugin 'nobody' is installed."),
    ],
)  # fmt: skip
def test_wrapper_mistakes(wrappers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_env("gym:CartPole-v1", wrappers=wrappers)
    assert str(caught.value) == message


def test_a_plugins_wrapper_has_typed_options_and_a_vector_form(fakes: Any) -> None:
    fakes.corridor()
    source = (fakes.folder / "arl_plugin_corridor.py").read_text()
    spec = 'WrapperSpec("corridor/double", f"{__name__}:double")'
    typed = f'{spec[:-1]}, "", f"{{__name__}}:Factor", f"{{__name__}}:double_all")'
    factor = """
class Factor(BaseModel):
    model_config = ConfigDict(extra="forbid")
    factor: float = Field(4.0, ge=0)

def double_all(group, space, factor):
    return group
"""
    source = source.replace(spec, typed).replace('{"length": 8}', '{"length": 8}, vector_maker="m:group"')
    fakes.module("arl_plugin_corridor", source + factor)
    result = fakes.python(
        """
        from arl_core.interfaces import UserError
        from arl_core.registry import resolve_env
        resolved = resolve_env("corridor", {}, [{"name": "corridor/double", "options": {"factor": 3}}])
        result = [resolved.wrappers, resolved.vector_maker, resolved.vector_wrappers]
        for wrong in ({"factr": 1}, {"factor": -1}):
            try:
                resolve_env("corridor", {}, [{"name": "corridor/double", "options": wrong}])
            except UserError as error:
                result.append(str(error))
        """
    )
    maker, form = "arl_plugin_corridor:double", "arl_plugin_corridor:double_all"
    assert result == [
        [[maker, {"factor": 4.0}], [maker, {"factor": 3.0}]],
        "m:group",
        [form, form],
        "wrapper 'corridor/double' has no option 'factr'. Did you mean 'factor'?",
        "wrapper 'corridor/double': factor: input should be greater than or equal to 0, got -1",
    ]


def test_names_of_encoders_and_wrappers() -> None:
    assert encoder_maker("mlp") == "arl_core.models.encoders:MlpEncoder"
    assert wrapper_spec("pixel-format-chw").maker == "arl_core.envs.wrappers:PixelFormatChw"
    with pytest.raises(UserError, match=r"no encoder 'mpl'\. Did you mean 'mlp'"):
        encoder_maker("mpl")


def test_a_plugins_encoder_loads_that_plugin_alone(fakes: Any) -> None:
    fakes.corridor()
    fakes.dist("arl-plugin-bomb", plugins={"bomb": "bomb"})
    fakes.module("bomb", "raise SystemExit(3)")
    result = fakes.python(
        """
        import sys
        from arl_core.registry import resolve_env
        from arl_core.registry.catalog import encoder_maker, param_overrides
        overrides = param_overrides(resolve_env("corridor"), "appo")
        result = [encoder_maker("corridor/onehot"), overrides.values["encoder"], "bomb" in sys.modules, "torch" in sys.modules]
        """
    )
    assert result == ["arl_plugin_corridor:OneHot", "corridor/onehot", False, False]


def test_family_of_imports_no_plugin() -> None:
    assert family_of("gym_CartPole-v1") == "gym"
    assert family_of(dict) == "py"
