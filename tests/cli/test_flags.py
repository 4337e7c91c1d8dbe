from __future__ import annotations

from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from arl_core.cli.flags import parse
from arl_core.cli.helptext import option_lines
from arl_core.cli.request import parse_request
from arl_core.config.layers import Layer, merge_layers
from arl_core.config.sources import environment_layer, typed
from arl_core.interfaces import UserError

FLAGS = {"serial": True, "num_workers": False, "niceness": False, "normalize_input": True, "gamma": False}
Size = IntEnum("Size", {"SMALL": 8, "LARGE": 16})
Speed = Enum("Speed", {"SLOW": "slow", "FAST": "fast"})
LEGACY = {"old_serial": "serial", "workers": "num_workers"}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("--num_workers 3", {"num_workers": "3"}),
        ("--num-workers=3", {"num_workers": "3"}),
        ("--workers 3", {"num_workers": "3"}),
        ("--num_workers 3 --num_workers 4", {"num_workers": "4"}),
        ("--niceness -5", {"niceness": "-5"}),
        ("--gamma -1e-3", {"gamma": "-1e-3"}),
        ("--gamma=", {"gamma": ""}),
        ("--serial", {"serial": True}),
        ("--serial --gamma 1", {"serial": True, "gamma": "1"}),
        ("--serial true", {"serial": True}),
        ("--serial FALSE", {"serial": False}),
        ("--serial=no", {"serial": False}),
        ("--no-serial", {"serial": False}),
        ("--no_normalize-input", {"normalize_input": False}),
        ("--no-old-serial", {"serial": False}),
    ],
)
def test_values(words: str, values: dict[str, object]) -> None:
    assert parse(words.split(), FLAGS, legacy=LEGACY).values == values


def test_options_of_a_family() -> None:
    words = "--maze.new-maze-each-episode --maze.size 5 --maze.shift -1 --maze.kind=a=b --serial"
    parsed = parse(words.split(), FLAGS)
    assert parsed.options == {
        ("maze", "new_maze_each_episode"): None,
        ("maze", "size"): "5",
        ("maze", "shift"): "-1",
        ("maze", "kind"): "a=b",
    }
    assert parsed.values == {"serial": True}


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("16", Literal[4, 8, 16], 16),
        ("16", Literal[4, 8, 16] | None, 16),
        ("none", Literal[4, 8, 16] | None, None),
        ("True", Literal[True, "auto"], True),
        ("auto", Annotated[int, Field(ge=1)] | Literal["auto"], "auto"),
        ("3", Annotated[int, Field(ge=1)] | Literal["auto"], "3"),  # pydantic makes it a number
        ("5", Literal[4, 8, 16], "5"),  # which pydantic refuses, with the choices
        ("4", Literal[4] | str, "4"),
        ("16", Size, 16),
        ("fast", Speed | None, "fast"),
        ("none", Speed | None, None),
    ],
)
def test_text_is_the_choice_that_reads_so(text: str, annotation: Any, value: Any) -> None:
    found = typed(text, annotation, "--flag")
    assert (found, type(found)) == (value, type(value))


def test_help_names_the_choices_of_an_enum_as_they_are_written() -> None:
    class Options(BaseModel):
        speed: Speed = Field(Speed.FAST, description="of all")
        size: Size | None = Size.SMALL

    assert option_lines(Options.model_fields, "env.") == [
        "  --env.speed {slow,fast}             of all (default: fast)",
        "  --env.size {8,16}                    (default: 8)",
    ]


def test_help_and_positional() -> None:
    parsed = parse(["dir", "-h"], FLAGS, positional=("DIR",))
    assert (parsed.positional, parsed.help) == (["dir"], True)


@pytest.mark.parametrize(
    ("words", "serial"),
    [("--serial dir", True), ("--serial no dir", False), ("dir --serial", True), ("--no-serial dir", False)],
)
def test_a_switch_swallows_no_name(words: str, serial: bool) -> None:
    parsed = parse(words.split(), FLAGS, positional=("DIR",))
    assert (parsed.positional, parsed.values) == (["dir"], {"serial": serial})
    with pytest.raises(UserError, match="--serial: expected true or false, got 'dir'"):
        parse([words.split()[-1], "--serial=dir"], FLAGS, positional=("DIR",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gama 1", "no flag --gama. Did you mean --gamma?"),
        ("--num-worker 1", "no flag --num-worker. Did you mean --num_workers?"),
        ("--zzz", "no flag --zzz. See --help"),
        ("-gamma 1", "no flag -gamma. Did you mean --gamma?"),
        ("--gamma", "--gamma needs a value"),
        ("--gamma --serial", "--gamma needs a value"),
        ("--serial maybe", "--serial: expected true or false, got 'maybe'"),
        ("--no-serial=true", "--no-serial takes no value"),
        ("--no-gamma 1", "no flag --no-gamma. Did you mean --gamma?"),
        ("--gamma 1 2", "'2' is not a flag; flags are written --name VALUE"),
    ],
)
def test_mistakes(words: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(words.split(), FLAGS)
    assert str(caught.value) == message


@pytest.mark.parametrize("words", [["--value_bootstrap", "true"], ["--no-value-bootstrap"], ["--value_bootstrap=false"]])
def test_an_option_that_has_no_meaning_here_says_why(words: list[str]) -> None:
    with pytest.raises(UserError, match="'value_bootstrap' is not an option here: an episode that a time limit cuts off"):
        parse_request(words, switches=())


def test_it_says_so_from_python_and_the_environment_too() -> None:
    with pytest.raises(UserError, match=r"policy_kwargs: 'value_bootstrap' is not an option here: .*Leave it out"):
        merge_layers([Layer("policy_kwargs", {"value_bootstrap": True})])
    with pytest.raises(UserError, match="environment variable ARL_VALUE_BOOTSTRAP: 'value_bootstrap' is not an option"):
        environment_layer({"ARL_VALUE_BOOTSTRAP": "1"})
