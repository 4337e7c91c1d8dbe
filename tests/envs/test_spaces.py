from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from arl_core.envs.spaces import ActionLayout, Squash, check_shape, obs_checker, obs_specs, obs_writer
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


ARM = spaces.Dict(
    {
        "grip": spaces.Discrete(3, start=5),
        "arm": spaces.Tuple((spaces.Box(-2.0, 1.0, (2, 2), np.float64), spaces.MultiDiscrete([[2, 3]], start=[[1, -1]]))),
        "lamps": spaces.MultiBinary(2),
    }
)


def test_a_nested_action_has_the_columns_of_its_parts() -> None:
    layout = ActionLayout(ARM)
    assert (layout.size, layout.dtype) == (4 + 2 + 1 + 2, "float32")
    columns = np.array([[0.5, -9, 9, 0.25, 1, 2, 2, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1, 0]], np.float32)
    first, second = layout.to_env(columns)  # a Dict's keys are sorted: arm, grip, lamps
    assert list(first) == ["arm", "grip", "lamps"]
    np.testing.assert_array_equal(first["arm"][0], [[0.5, -2.0], [1.0, 0.25]])
    np.testing.assert_array_equal(first["arm"][1], [[2, 1]])
    assert first["grip"] == 7
    np.testing.assert_array_equal(first["lamps"], [0, 1])
    for action in (first, second):
        assert isinstance(action["arm"], tuple)
        assert ARM.contains(action)


def test_a_nested_action_without_a_box_is_integers() -> None:
    space = spaces.Tuple((spaces.Discrete(2**40), spaces.Tuple((spaces.MultiBinary(1),))))
    layout = ActionLayout(space)
    assert (layout.size, layout.dtype) == (2, "int64")
    (action,) = layout.to_env(np.array([[2**40 - 1, 1]]))
    assert action[0] == 2**40 - 1
    assert space.contains(action)


def test_integer_boxes_are_rounded() -> None:
    space = spaces.Box(-3, 4, (4,), np.int8)
    (action,) = ActionLayout(space).to_env(np.array([[-0.6, 0.4, 1.7, 99.0]], np.float32))
    assert action.tolist() == [-1, 0, 2, 4]
    assert space.contains(action)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2)])
def test_boxes_of_any_rank_and_float_type(dtype: Any, shape: tuple[int, ...]) -> None:
    space = spaces.Box(-0.5, 0.1, shape, dtype)
    columns = np.random.default_rng(0).normal(size=(5, int(np.prod(shape)))).astype(np.float32)
    for action in ActionLayout(space).to_env(columns):
        assert np.shape(action) == shape
        assert space.contains(np.asarray(action))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Text(5), "action space: Text is not supported; use Discrete"),
        (spaces.Dict({"a": spaces.Tuple((spaces.Discrete(2), spaces.Text(5)))}), r"action 'a\.1': Text is not supported"),
        (spaces.Tuple(()), "has no parts"),
        (spaces.Box(0, 1, (2,), np.bool_), r"Box of bool; use MultiBinary\(\[2\]\)"),
        (spaces.Box(-(2**31), 2**31 - 1, (2,), np.int32), "action space is a Box of int32 with bounds beyond 16777216"),
        (
            spaces.Dict({"n": spaces.Discrete(2**24 + 1), "x": spaces.Box(0, 1)}),
            "action 'n' has more than 16777216 choices beside a Box",
        ),
    ],
)
def test_action_spaces_that_have_no_columns_say_why(space: spaces.Space[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ActionLayout(space)


def test_squashed_columns_lie_within_their_bounds() -> None:
    squash = Squash([(0, -2.0, 6.0), (2, 0.0, 0.1)])
    stored = np.array([[0.0, 7.0, 100.0], [0.5, -7.0, -100.0]], np.float32)
    kept = stored.copy()
    found = squash(stored)
    np.testing.assert_allclose(found[:, 0], [2.0, -2.0 + (np.tanh(0.5) + 1) * 4], rtol=1e-6)
    assert found[:, 1].tolist() == [7.0, -7.0]
    assert found[:, 2].tolist() == [np.float32(0.1), 0.0]
    np.testing.assert_array_equal(stored, kept)
