from __future__ import annotations

import pytest

from arl_core.cli.flags import parse
from arl_core.interfaces import UserError

FLAGS = {"serial": True, "num_workers": False, "niceness": False, "normalize_input": True, "gamma": False}
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
        ("maze", "new_maze_each_episode"): "true",
        ("maze", "size"): "5",
        ("maze", "shift"): "-1",
        ("maze", "kind"): "a=b",
    }
    assert parsed.values == {"serial": True}


def test_help_and_positional() -> None:
    parsed = parse(["dir", "-h"], FLAGS, positional=("DIR",))
    assert (parsed.positional, parsed.help) == (["dir"], True)


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
