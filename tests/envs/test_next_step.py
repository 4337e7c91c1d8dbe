"""Back ends that reset in the step after an ending: what groups make of their answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from group_support import make_views
from gymnasium import spaces

from arl_core.envs.next_step import NextStepGroup

SPACE = spaces.Dict(place=spaces.Box(0.0, 9.0, (2,)), kind=spaces.Discrete(3))
OBSERVED = {"place": np.arange(6.0).reshape(3, 2), "kind": np.array([0, 1, 2])}
NONE = np.zeros(3, np.bool_)


class Told(NextStepGroup):
    """Takes what it is told."""

    def __init__(self) -> None:
        super().__init__(3, SPACE, unreported=("id", "pool.id"))
        self.views = make_views(self)

    def take(self, rewards: Any, terminated: Any, truncated: Any = NONE, info: Any = None, obs: Any = OBSERVED) -> Any:
        return self._take((obs, rewards, terminated, truncated, info or {}), self.views)


def test_the_step_after_an_ending_is_invalid_and_empty_whatever_the_back_end_says_of_it() -> None:
    group = Told()
    first, second = np.array([True, False, False]), np.array([False, False, True])
    ends = group.take(np.array([1.0, 2.0, 3.0], np.float64), first, second)
    np.testing.assert_array_equal(ends.rows, [0, 2])
    assert group.views.valid.all()
    assert (group.views.terminated == first).all()
    assert (group.views.truncated == second).all()
    assert group.take(np.full(3, 5.0), first, second) is None, "told twice, ended once"
    assert group.views.valid.tolist() == [False, True, False]
    assert group.views.rewards.tolist() == [0.0, 5.0, 0.0]
    assert not (group.views.terminated | group.views.truncated).any()
    assert group.take(np.full(3, 5.0), NONE) is None
    assert group.views.valid.all()


def test_numbers_of_the_rows_that_ended_are_metrics() -> None:
    group = Told()
    depth = {"now": np.array([1, 2, 3]), "_now": np.array([True, False, True]), "text": np.array(["a", "b", "c"])}
    info = {"won": np.array([True, True, False]), "id": np.arange(3), "pool": {"id": np.arange(3)}, "depth": depth}
    assert group.take(np.zeros(3), NONE, info=info) is None
    ends = group.take(np.zeros(3), np.array([False, True, True]), info=info)
    assert set(ends.metrics) == {"won", "depth.now"}
    np.testing.assert_array_equal(ends.metrics["won"], [1.0, 0.0])
    np.testing.assert_array_equal(ends.metrics["depth.now"], [np.nan, 3.0])


def test_observations_lie_under_their_keys_and_are_not_stretched() -> None:
    group = Told()
    group.take(np.zeros(3), NONE)
    for key, value in OBSERVED.items():
        np.testing.assert_array_equal(group.views.obs[key], value)
    with pytest.raises(ValueError, match=r"observations 'place' have shape \(1, 2\), their space says \(3, 2\)"):
        group.take(np.zeros(3), NONE, obs={**OBSERVED, "place": np.zeros((1, 2))})
