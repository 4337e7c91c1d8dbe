from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.config import RunConfig
from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import UserError
from arl_core.models.preprocess import OutsideSpace, Preprocessor

NORMALIZED = RunConfig(normalize_input=True)


def test_each_space() -> None:
    space = spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (1, 1, 2), np.uint8),
            "discrete": spaces.Discrete(3, start=5),
            "multi": spaces.MultiDiscrete([2, 3], start=[0, 1]),
            "bits": spaces.MultiBinary(2),
            "flags": spaces.Box(0, 1, (2,), np.bool_),
            "double": spaces.Box(-9, 9, (2,), np.float64),
            "scalar": spaces.Box(-9, 9, ()),
            "action_mask": spaces.MultiBinary(4),
        }
    )
    obs = {
        "pixels": torch.tensor([[[[0, 110]]], [[[60, 10]]]], dtype=torch.uint8),
        "discrete": torch.tensor([5, 7]),
        "multi": torch.tensor([[1, 1], [0, 3]]),
        "bits": torch.tensor([[1, 0], [1, 1]], dtype=torch.int8),
        "flags": torch.tensor([[True, False], [False, False]]),
        "double": torch.tensor([[0.5, 8.0], [1.0, -2.0]], dtype=torch.float64),
        "scalar": torch.tensor([3.0, 4.0]),
        "action_mask": torch.ones(2, 4),
    }
    expected = {
        "pixels": [[[[-0.2, 2.0]]], [[[1.0, 0.0]]]],
        "discrete": [[1, 0, 0], [0, 0, 1]],
        "multi": [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]],
        "bits": [[1, 0], [1, 1]],
        "flags": [[1, 0], [0, 0]],
        "double": [[0.5, 8.0], [1.0, -2.0]],
        "scalar": [[3.0], [4.0]],
    }
    kept = {key: value.clone() for key, value in obs.items()}
    inputs = Preprocessor(space, RunConfig(obs_subtract_mean=10.0, obs_scale=50.0))(obs)
    assert set(inputs) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(inputs[key], torch.tensor(value, dtype=torch.float32))
    assert all(torch.equal(obs[key], kept[key]) for key in obs)


@pytest.mark.parametrize(
    ("space", "values", "told"),
    [
        (spaces.Discrete(3), [2, 3], "observation 'obs' is 3, its space has 0 to 2"),
        (spaces.Discrete(3, start=-1), [1, -2], "observation 'obs' is -2, its space has -1 to 1"),
        (spaces.MultiDiscrete([2, 4]), [[1, 3], [0, 4]], "observation 'obs' is 4, its space has 0 to 3"),
    ],
)
def test_a_value_outside_a_discrete_space_is_named(space: spaces.Space[Any], values: list[Any], told: str) -> None:
    with pytest.raises(OutsideSpace, match=told):
        Preprocessor(space, RunConfig())({"obs": torch.tensor(values)})


def test_running_statistics_are_those_of_all_valid_rows() -> None:
    preprocess = Preprocessor(spaces.Box(-np.inf, np.inf, (3,)), NORMALIZED)
    rng = np.random.default_rng(0)
    seen = []
    for size in (1, 7, 64, 3):
        x = (rng.normal(size=(size, 3)) * [1.0, 100.0, 1e-2] + [0.0, 1e5, 3.0]).astype(np.float32)
        valid = rng.random(size) > 0.3
        seen.append(x[valid])
        x[~valid] = np.nan
        preprocess.update({"obs": torch.from_numpy(x)}, torch.from_numpy(valid))
    rows = np.concatenate(seen).astype(np.float64)
    (norm,) = preprocess.norms
    np.testing.assert_allclose(norm.mean, rows.mean(0), rtol=1e-9)
    np.testing.assert_allclose(norm.m2 / norm.count, rows.var(0), rtol=1e-7)
    assert norm.count == len(rows)
    x = rows.astype(np.float32)
    expected = np.clip((x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5), -5, 5)
    np.testing.assert_allclose(preprocess({"obs": torch.from_numpy(x)})["obs"], expected, atol=1e-2)
    np.testing.assert_allclose(preprocess({"obs": torch.from_numpy(x)})["obs"][:, 0], expected[:, 0], atol=1e-5)


def test_before_any_row_and_without_valid_rows_nothing_changes() -> None:
    preprocess = Preprocessor(spaces.Box(-9, 9, (2,)), NORMALIZED)
    x = torch.tensor([[1.0, -7.0]])
    preprocess.update({"obs": x}, torch.tensor([False]))
    assert torch.equal(preprocess({"obs": x})["obs"], torch.tensor([[1.0, -5.0]]))
    assert preprocess.norms[0].count == 0


def test_only_boxes_that_are_neither_pixels_nor_bool_are_normalised() -> None:
    space = spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (4,), np.uint8),
            "flags": spaces.Box(0, 1, (2,), np.bool_),
            "n": spaces.Discrete(2),
            "counts": spaces.Box(0, 9, (2,), np.int64),
        }
    )
    assert len(Preprocessor(space, NORMALIZED).norms) == 1
    assert len(Preprocessor(space, RunConfig()).norms) == 0


def test_copies_are_independent() -> None:
    original = Preprocessor(spaces.Box(-9, 9, (2,)), NORMALIZED)
    for other in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        other.update({"obs": x}, torch.tensor([True, True]))
        assert not torch.equal(other({"obs": x})["obs"], x)
        assert torch.equal(original({"obs": x})["obs"], x)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (1, 2, 3, 2)])
@pytest.mark.parametrize(
    "dtype",
    [np.float16, np.float32, np.float64, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_],
)
def test_boxes_of_any_type_and_rank(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    space = spaces.Box(0, 1, shape, dtype)
    spec = obs_specs(space)["obs"]
    rows = np.ones((5, *spec.shape), spec.dtype)
    rows[2] = 0
    for cfg in (RunConfig(), NORMALIZED):
        preprocess = Preprocessor(space, cfg)
        inputs = preprocess({"obs": torch.from_numpy(rows)})["obs"]
        assert inputs.dtype is torch.float32
        assert inputs.shape == (5, *(shape or (1,)))
        np.testing.assert_array_equal(inputs.numpy().reshape(rows.shape), rows.astype(np.float32))
        preprocess.update({"obs": torch.from_numpy(rows)}, torch.ones(5, dtype=torch.bool))
        if preprocess.norms:
            after = preprocess({"obs": torch.from_numpy(rows)})["obs"]
            torch.testing.assert_close(after[0].flatten(), torch.full((after[0].numel(),), 0.5), atol=1e-3, rtol=0)


def test_what_does_not_fit_into_an_array_says_which_key() -> None:
    with pytest.raises(UserError, match=r"observation 'a\.1' is a OneOf space"):
        Preprocessor(spaces.Dict({"a": spaces.Tuple((spaces.Discrete(2), spaces.OneOf((spaces.Discrete(2),))))}), RunConfig())
    with pytest.raises(UserError, match="observation 'n' has 2097152 classes"):
        Preprocessor(spaces.Dict({"n": spaces.Discrete(1 << 21)}), RunConfig())
