from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from arl_core.interfaces import UserError
from arl_core.models.spaces import as_dict_space, image_shape_chw, network_shape, network_space

BOX = spaces.Box(-1, 1, (3,))


def test_names_of_keys() -> None:
    assert list(as_dict_space(BOX)) == ["obs"]
    assert list(as_dict_space(spaces.Tuple([BOX, spaces.Discrete(2)]))) == ["0", "1"]
    nested = spaces.Dict({"a": spaces.Dict({"b": BOX, "c": spaces.Tuple([BOX, BOX])}), "d": BOX})
    assert set(as_dict_space(nested)) == {"a.b", "a.c.0", "a.c.1", "d"}
    assert as_dict_space(as_dict_space(nested)) == as_dict_space(nested)


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(BOX), spaces.Graph(BOX, None)])
def test_spaces_without_a_fixed_size_are_named(space: spaces.Space[object]) -> None:
    with pytest.raises(UserError, match=rf"'a\.b' is a {type(space).__name__} space"):
        as_dict_space(spaces.Dict({"a": spaces.Dict({"b": space})}))


def test_two_entries_of_one_name() -> None:
    with pytest.raises(UserError, match=r"both called 'a\.b'"):
        as_dict_space(spaces.Dict({"a": spaces.Dict({"b": BOX}), "a.b": BOX}))


def test_the_action_mask_is_no_input() -> None:
    assert list(network_space(spaces.Dict({"x": BOX, "action_mask": spaces.MultiBinary(2)}))) == ["x"]
    with pytest.raises(UserError, match="nothing but 'action_mask'"):
        network_space(spaces.Dict({"action_mask": spaces.MultiBinary(2)}))


def test_shapes() -> None:
    assert network_shape(spaces.Discrete(5, start=3)) == (5,)
    assert network_shape(spaces.MultiDiscrete([[2, 3], [4, 5]])) == (14,)
    assert network_shape(spaces.Box(0, 1, ())) == (1,)
    for shape in ((84, 80, 3), (3, 84, 80)):
        assert image_shape_chw(spaces.Box(0, 255, shape, np.uint8)) == (3, 84, 80)
