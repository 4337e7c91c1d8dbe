from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from arl_core.envs.spaces import ActionLayout, check_shape, obs_checker, obs_specs, obs_writer
from arl_core.interfaces import ArraySpec, UserError
from arl_core.spaces import leaves_of

NESTED = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (4, 5, 3), np.uint8),
        "body": spaces.Dict({"joints": spaces.Box(-1, 1, (6,), np.float64), "touch": spaces.MultiBinary(2)}),
        "pair": spaces.Tuple((spaces.Discrete(7, start=3), spaces.MultiDiscrete([2, 3]))),
    }
)


def test_keys_and_arrays_of_a_nested_space() -> None:
    assert obs_specs(NESTED) == {
        "camera": ArraySpec((4, 5, 3), "uint8"),
        "body.joints": ArraySpec((6,), "float32"),
        "body.touch": ArraySpec((2,), "int8"),
        "pair.0": ArraySpec((), "int64"),
        "pair.1": ArraySpec((2,), "int64"),
    }
    assert {key: path for key, (path, _) in leaves_of(NESTED).items()} == {
        "camera": ("camera",),
        "body.joints": ("body", "joints"),
        "body.touch": ("body", "touch"),
        "pair.0": ("pair", 0),
        "pair.1": ("pair", 1),
    }


@pytest.mark.parametrize(
    ("space", "spec"),
    [
        (spaces.Box(-1, 1, (3,), np.float64), ArraySpec((3,), "float32")),
        (spaces.Box(-1, 1, (3,), np.float32), ArraySpec((3,), "float32")),
        (spaces.Box(-1, 1, (), np.float32), ArraySpec((), "float32")),
        (spaces.Box(0, 9, (2, 2), np.int32), ArraySpec((2, 2), "int32")),
        (spaces.Discrete(5, start=-2), ArraySpec((), "int64")),
        (spaces.MultiBinary([2, 3]), ArraySpec((2, 3), "int8")),
    ],
)
def test_a_plain_space_has_the_key_obs(space: spaces.Space[Any], spec: ArraySpec) -> None:
    assert obs_specs(space) == {"obs": spec}
    assert obs_writer(space) is None


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.Graph(spaces.Discrete(2), None)])
def test_a_space_without_array_form_is_the_users_mistake(space: spaces.Space[Any]) -> None:
    with pytest.raises(UserError, match=f"observation 'obs' is a {type(space).__name__} space"):
        obs_specs(space)
    with pytest.raises(UserError, match=f"observation 'a.1' is a {type(space).__name__} space"):
        obs_specs(spaces.Dict({"a": spaces.Tuple((spaces.Discrete(2), space))}))


def test_an_observation_is_written_into_its_row_alone() -> None:
    rows = {key: np.zeros((3, *spec.shape), spec.dtype) for key, spec in obs_specs(NESTED).items()}
    write = obs_writer(NESTED)
    assert write is not None
    NESTED.seed(1)
    observation = NESTED.sample()
    write(observation, rows, 1)
    np.testing.assert_array_equal(rows["camera"][1], observation["camera"])
    np.testing.assert_array_equal(rows["body.joints"][1], observation["body"]["joints"].astype(np.float32))
    np.testing.assert_array_equal(rows["body.touch"][1], observation["body"]["touch"])
    assert rows["pair.0"][1] == observation["pair"][0]
    np.testing.assert_array_equal(rows["pair.1"][1], observation["pair"][1])
    assert not any(array[[0, 2]].any() for array in rows.values())


def test_one_key_in_a_dict_keeps_its_name_even_obs() -> None:
    space = spaces.Dict({"obs": spaces.Discrete(3)})
    write = obs_writer(space)
    assert write is not None
    rows = {"obs": np.zeros(2, np.int64)}
    write({"obs": 2}, rows, 1)
    assert rows["obs"].tolist() == [0, 2]


def test_shapes_are_checked_in_every_part() -> None:
    rows = {key: np.zeros((3, *spec.shape), spec.dtype) for key, spec in obs_specs(NESTED).items()}
    write, check = obs_writer(NESTED), obs_checker(NESTED)
    assert write is not None
    observation = NESTED.sample()
    check(observation)
    observation["body"]["joints"] = np.zeros(1)
    for function in (check, lambda value: write(value, rows, 0)):
        with pytest.raises(ValueError, match=r"observation 'body.joints' has shape \(1,\), its space says \(6,\)"):
            function(observation)
    check_shape("x", [[1, 2], [3, 4]], (2, 2))
    with pytest.raises(ValueError, match="observation 'x' has shape"):
        check_shape("x", 3.0, (1,))


def test_fractions_for_integers_are_refused_integers_for_fractions_are_not() -> None:
    obs_checker(spaces.Box(0, 1, (2,), np.float32))(np.array([0, 1]))
    obs_checker(spaces.Box(0, 255, (2,), np.uint8))(np.array([0, 255]))
    with pytest.raises(ValueError, match="observation 'obs' is float32, its space says uint8"):
        obs_checker(spaces.Box(0, 255, (2,), np.uint8))(np.zeros(2, np.float32))


# --------------------------------------------------------------------------- actions


def test_discrete_actions_are_numbers_from_start() -> None:
    space = spaces.Discrete(4, start=10)
    layout = ActionLayout(space)
    actions = layout.to_env(np.array([[0], [3]]))
    assert (layout.size, layout.dtype) == (1, "int64")
    assert list(actions) == [10, 13]
    assert all(space.contains(action) and np.ndim(action) == 0 for action in actions)
    assert list(ActionLayout(spaces.Discrete(4)).to_env(np.array([[0], [3]]))) == [0, 3]


def test_multi_discrete_actions() -> None:
    space = spaces.MultiDiscrete(np.array([[3, 4], [5, 6]]), start=np.array([[0, 1], [2, -3]]))
    layout = ActionLayout(space)
    assert (layout.size, layout.dtype) == (4, "int64")
    actions = layout.to_env(np.array([[0, 0, 0, 0], [2, 3, 4, 5]]))
    np.testing.assert_array_equal(actions[0], [[0, 1], [2, -3]])
    np.testing.assert_array_equal(actions[1], [[2, 4], [6, 2]])
    assert all(space.contains(action) for action in actions)


def test_multi_binary_actions() -> None:
    space = spaces.MultiBinary([2, 2])
    actions = ActionLayout(space).to_env(np.array([[0, 1, 1, 0]]))
    np.testing.assert_array_equal(actions[0], [[0, 1], [1, 0]])
    assert space.contains(actions[0])


def test_box_actions_are_clipped_to_their_bounds() -> None:
    space = spaces.Box(np.array([[-1.0, -np.inf], [0.0, -2.0]]), np.array([[1.0, np.inf], [0.5, 2.0]]), dtype=np.float64)
    layout = ActionLayout(space)
    assert (layout.size, layout.dtype) == (4, "float32")
    columns = np.array([[-5, 1e6, 0.25, 9]], np.float32)
    actions = layout.to_env(columns)
    np.testing.assert_array_equal(actions[0], [[-1, 1e6], [0.25, 2]])
    assert space.contains(actions[0])
    assert columns[0, 0] == -5, "what was sampled stays as it was: its log-probability belongs to it"


def test_columns_round_trip_through_every_action_space() -> None:
    for space in (spaces.Discrete(5), spaces.MultiDiscrete([3, 4]), spaces.MultiBinary(3), spaces.Box(-1, 1, (2, 2))):
        space.seed(0)
        samples = [space.sample() for _ in range(6)]
        columns = np.stack([np.reshape(sample, -1) for sample in samples])
        for action, sample in zip(ActionLayout(space).to_env(columns), samples, strict=True):
            np.testing.assert_array_equal(action, sample)


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Dict({"a": spaces.Discrete(2)}), spaces.Tuple((spaces.Discrete(2),))])
def test_other_action_spaces_are_refused(space: spaces.Space[Any]) -> None:
    with pytest.raises(UserError, match=f"action space {type(space).__name__} is not supported yet; Discrete"):
        ActionLayout(space)
