"""`mask-from-info`: every form in which a mask is reported, from the environment to the learner's batch."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from arl_core import APPO
from arl_core.envs.group import EnvironmentFault, SingleEnvGroup, make_contexts
from arl_core.envs.wrappers import MaskFromInfo
from arl_core.interfaces import StepViews, UserError

NESTED = spaces.Dict({"go": spaces.Discrete(2), "how": spaces.Tuple((spaces.Box(-1, 1, (1,)), spaces.MultiDiscrete([2, 3])))})


class Reports(gymnasium.Env[Any, Any]):
    """Three steps; reports `masks` in turn, one at reset and one a step."""

    observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (1,))

    def __init__(self, action_space: spaces.Space[Any], *masks: Any, name: str = "action_mask") -> None:
        self.action_space, self.masks, self.name = action_space, masks, name
        self.t = 0

    def _look(self) -> tuple[Any, dict[str, Any]]:
        mask = self.masks[self.t % len(self.masks)]
        return np.zeros(1, np.float32), {} if mask is None else {self.name: mask}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._look()

    def step(self, action: Any) -> Any:
        self.t += 1
        observation, info = self._look()
        return observation, 0.0, self.t == 3, False, info


@pytest.mark.parametrize(
    ("space", "given", "mask"),
    [
        (spaces.Discrete(3), np.array([0, 1, 1], np.int8), [0, 1, 1]),
        (spaces.Discrete(3), [True, False, True], [1, 0, 1]),
        (spaces.Discrete(3), np.array([0.0, 2.5, 0.0]), [0, 1, 0]),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 0, 0, 1, 1]), [1, 0, 0, 1, 1]),
        (spaces.MultiDiscrete([2, 3]), ([1, 0], np.array([0, 1, 1])), [1, 0, 0, 1, 1]),
        (NESTED, {"go": [0, 1], "how": (None, ([1, 1], [0, 0, 1]))}, [0, 1, 1, 1, 0, 0, 1]),
        (NESTED, {"go": [0, 1], "how": {1: [1, 1, 0, 0, 1]}}, [0, 1, 1, 1, 0, 0, 1]),
        (NESTED, np.array([0, 1, 1, 1, 0, 0, 1]), [0, 1, 1, 1, 0, 0, 1]),
    ],
)
def test_every_form_of_a_mask(space: spaces.Space[Any], given: Any, mask: list[int]) -> None:
    env = MaskFromInfo(Reports(space, given, name="legal"), key="legal")
    observation, _ = env.reset()
    assert observation in env.observation_space
    assert observation["action_mask"].tolist() == mask
    assert env.step(0)[0]["action_mask"].tolist() == mask


def test_a_dictionary_gets_one_more_key() -> None:
    env = Reports(spaces.Discrete(2), [1, 0])
    env.observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (1,))})
    assert list(MaskFromInfo(env).observation_space) == ["action_mask", "x"]


def test_a_mask_may_be_missing_at_an_ending_alone() -> None:
    env = MaskFromInfo(Reports(spaces.Discrete(2), [0, 1], [1, 0], [0, 1], None))
    assert env.reset()[0]["action_mask"].tolist() == [0, 1]
    assert [env.step(0)[0]["action_mask"].tolist() for _ in range(3)] == [[1, 0], [0, 1], [1, 1]]
    group = SingleEnvGroup([MaskFromInfo(Reports(spaces.Discrete(2), [0, 1], None))], make_contexts(0, 0, 1))
    rows = {key: np.zeros((1, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
    group.reset_into(rows)
    assert rows["action_mask"].tolist() == [[0, 1]]
    group.send(np.zeros((1, 1), np.int64))
    with pytest.raises(EnvironmentFault, match="info has no 'action_mask'"):
        group.recv_into(StepViews(rows, np.zeros(1, np.float32), *(np.zeros(1, bool) for _ in range(3))))


@pytest.mark.parametrize(
    ("space", "given", "message"),
    [
        (spaces.Discrete(3), [1, 0], r"action_mask has 2 entries, Discrete\(3\) needs 3"),
        (NESTED, {"go": [1, 1]}, "action_mask has nothing for the action's part 'how'"),
        (NESTED, {"go": [1, 1], "how": (None, [1, 1])}, r"action_mask\['how'\]\[1\] has 2 entries"),
    ],
)
def test_a_mask_that_does_not_fit(space: spaces.Space[Any], given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskFromInfo(Reports(space, given)).reset()


def test_actions_without_choices_have_no_mask() -> None:
    with pytest.raises(UserError, match="needs a Discrete or MultiDiscrete action, got MultiBinary"):
        MaskFromInfo(Reports(spaces.MultiBinary(2), [1, 1]))


class Corridor(gymnasium.Env[Any, Any]):
    """Only one of four actions is allowed, another one each step; a forbidden one is an error."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Tuple((spaces.Discrete(4), spaces.Box(-1, 1, (1,))))

    def _look(self) -> tuple[Any, dict[str, Any]]:
        return np.zeros(1, np.float32), {"action_mask": ([int(choice == self.t % 4) for choice in range(4)],)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 2
        return self._look()

    def step(self, action: Any) -> Any:
        if action[0] != self.t % 4:
            raise ValueError(f"action {action[0]} is not allowed at {self.t}")
        self.t += 1
        observation, info = self._look()
        return observation, 1.0, self.t == 9, False, {} if self.t == 9 else info


def test_masks_hold_in_training_and_evaluation() -> None:
    fields = {"serial": True, "wrappers": [{"name": "mask-from-info"}], "rollout": 8, "batch_size": 32}
    with APPO(env=Corridor, num_workers=1, num_envs_per_worker=4, policy_kwargs=fields) as model:
        status = model.train(500)
        assert status == 0
        assert status.return_mean == 7.0
        assert model.evaluate(episodes=3, deterministic=False)["return_mean"] == 7.0
