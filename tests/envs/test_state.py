from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from arl_core.envs.state import load_env_state, rng_from_array, rng_to_array, save_env_state


@pytest.mark.parametrize("draws", [0, 1, 3, 100])
def test_a_generator_goes_on_exactly(draws: int) -> None:
    rng = np.random.default_rng(7)
    for _ in range(draws):
        rng.integers(0, 100, dtype=np.int32)  # 32 bits: half a word may be left over
    array = rng_to_array(rng)
    assert (array.shape, array.dtype) == ((6,), np.uint64)
    copy = rng_from_array(array)
    for _ in range(5):
        assert copy.integers(0, 2**31, dtype=np.int32) == rng.integers(0, 2**31, dtype=np.int32)
        assert copy.normal() == rng.normal()
    assert rng_to_array(copy).tolist() == rng_to_array(rng).tolist()


def test_other_generators_are_refused() -> None:
    with pytest.raises(ValueError, match="PCG64 generators, not MT19937"):
        rng_to_array(np.random.Generator(np.random.MT19937(1)))


class Savable(gym.Env[Any, Any]):
    def __init__(self) -> None:
        self.place = np.array([1, 2])

    def get_state(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"place": self.place.copy()}

    def set_state(self, state: dict[str, np.ndarray[Any, Any]]) -> None:
        self.place = state["place"]


def test_an_environment_of_anybodys_saves_itself() -> None:
    env, other = Savable(), Savable()
    env.place[0] = 9
    state = save_env_state(env)
    assert state is not None
    load_env_state(other, state)
    assert other.place.tolist() == [9, 2]


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        (np.zeros(3), "TypeError: it returns ndarray, not a dict of arrays"),
        ({"goal": "north"}, "TypeError: 'goal' is no array of numbers, but str"),
        (RuntimeError("not now"), "RuntimeError: not now"),
    ],
)
def test_a_method_of_the_same_name_that_means_something_else(gives: Any, told: str, caplog: pytest.LogCaptureFixture) -> None:
    class Other(Savable):
        def get_state(self) -> Any:
            if isinstance(gives, Exception):
                raise gives
            return gives

    for _ in range(2):
        assert save_env_state(Other()) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"Other: what get_state gives cannot be saved, so it begins anew where the run is resumed ({told})"
    ]


def test_an_environment_without_state_methods_cannot_be_saved() -> None:
    assert save_env_state(gym.make("FrozenLake-v1").unwrapped) is None


def test_a_subclass_may_have_more_state_and_is_not_guessed_at() -> None:
    from gymnasium.envs.classic_control import CartPoleEnv

    class Windy(CartPoleEnv):  # type: ignore[misc]
        wind = 0.0

    assert save_env_state(Windy()) is None


def test_cart_pole_before_and_after_an_ending() -> None:
    env, other = gym.make("CartPole-v1").unwrapped, gym.make("CartPole-v1").unwrapped
    env.reset(seed=1)
    other.reset(seed=2)
    while not env.step(0)[2]:
        pass
    assert env.steps_beyond_terminated == 0  # type: ignore[attr-defined]
    state = save_env_state(env)
    assert state is not None
    load_env_state(other, state)
    assert other.steps_beyond_terminated == 0  # type: ignore[attr-defined]
    np.testing.assert_array_equal(env.reset()[0], other.reset()[0])
    state = save_env_state(env)
    assert state is not None
    load_env_state(other, state)
    assert other.steps_beyond_terminated is None  # type: ignore[attr-defined]
    assert all(np.array_equal(env.step(1)[0], other.step(1)[0]) for _ in range(5))
