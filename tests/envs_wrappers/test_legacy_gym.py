from __future__ import annotations

import copy
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from arl_core.envs.legacy_gym import LegacyGymEnv, gym, modern_space
from arl_core.interfaces import UserError
from arl_core.registry import make_env, resolve_env


class Old(gym.Env):  # type: ignore[misc]
    """The API before 0.22: four values, `seed()`, a bare observation, `render(mode)`."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Discrete(3)

    def __init__(self, limit: bool = False) -> None:
        self.limit = limit
        self.random = np.random.default_rng()

    def seed(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def reset(self) -> Any:
        return self.random.random(2).astype(np.float32)

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 1.5, True, {"TimeLimit.truncated": True} if self.limit else {}

    def render(self, mode: str = "human") -> str:
        return mode


class Middle(Old):
    """The API of 0.26: five values, `reset(seed=)` with a dictionary. Draws from gym's own stream."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:  # type: ignore[override]
        gym.Env.reset(self, seed=seed)
        return self.np_random.random(2).astype(np.float32), {"k": 1}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), 1.5, False, True, {}


class Unseeded(Old):
    """Draws from `np_random`, but neither `reset` nor `seed` sets it."""

    seed = property()  # type: ignore[assignment]  # hasattr is false

    def reset(self) -> Any:
        return self.np_random.random(2).astype(np.float32)


@pytest.mark.parametrize(
    ("env", "terminated", "truncated"), [(Old(), True, False), (Old(True), False, True), (Middle(), False, True)]
)
def test_steps_of_four_and_five_values(env: Any, terminated: bool, truncated: bool) -> None:
    adapted = LegacyGymEnv(env)
    adapted.reset(seed=1)
    assert adapted.step(0)[1:4] == (1.5, terminated, truncated)


@pytest.mark.parametrize("kind", [Old, Middle, Unseeded])
def test_every_way_of_resetting_is_seeded(kind: Any) -> None:
    env = LegacyGymEnv(kind())
    first, info = env.reset(seed=3)
    second = env.reset()[0]
    assert isinstance(info, dict)
    assert env.reset(seed=3)[0].tolist() == first.tolist()
    assert second.tolist() != first.tolist()
    assert first in env.observation_space


def test_render_with_a_mode_and_reset_options() -> None:
    env = LegacyGymEnv(Old(), "rgb_array")
    assert env.render() == "rgb_array"
    with pytest.raises(UserError, match="legacy gym environment Old takes no reset options"):
        env.reset(options={"x": 1})


@pytest.mark.parametrize(("name", "value"), [("TimeLimit", 5), ("TransformReward", abs)])
def test_steps_of_four_and_five_values_in_one_chain_are_told(name: str, value: Any) -> None:
    env = LegacyGymEnv(getattr(gym.wrappers, name)(Old(), value))
    env.reset(seed=1)
    with pytest.raises(UserError, match=rf"Old inside {name}: .*steps of four values .* and of five are mixed"):
        env.step(0)


def test_gyms_checker_is_taken_out() -> None:
    wrapped = gym.wrappers.order_enforcing.OrderEnforcing(gym.wrappers.env_checker.PassiveEnvChecker(Middle()))
    env = LegacyGymEnv(wrapped)
    env.reset(seed=1)
    assert env.step(0)[3] is True
    assert type(env.legacy.env).__name__ == "Middle"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (gym.spaces.Box(-1.0, 2.0, (3, 2), np.float64), spaces.Box(-1.0, 2.0, (3, 2), np.float64)),
        (gym.spaces.Discrete(4, start=2), spaces.Discrete(4, start=2)),
        (gym.spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([2, 3])),
        (gym.spaces.MultiBinary(5), spaces.MultiBinary(5)),
        (
            gym.spaces.Dict(b=gym.spaces.Discrete(2), a=gym.spaces.Tuple([gym.spaces.Discrete(3)])),
            spaces.Dict(b=spaces.Discrete(2), a=spaces.Tuple([spaces.Discrete(3)])),
        ),
    ],
)
def test_spaces(old: Any, new: Any) -> None:
    assert modern_space(old) == new


def test_a_space_without_counterpart_is_named() -> None:
    with pytest.raises(UserError, match="legacy gym space Text is not supported"):
        modern_space(gym.spaces.Text(3))


def test_an_id_of_legacy_gym_alone_goes_through_the_adapter(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # of its own name: which of the legacy package's are Gymnasium's too changes from version to version
    monkeypatch.setitem(gym.envs.registry, "OldTaxi-v3", copy.copy(gym.spec("Taxi-v3")))
    resolved = resolve_env("gym:OldTaxi-v3")
    assert (resolved.maker, resolved.max_episode_steps) == ("arl_core.envs.legacy_gym:make", 200)
    env = make_env("gym:OldTaxi-v3", seed=5)
    for _ in range(200):
        step = env.step(env.action_space.sample())
    assert step[3] is True
    assert "unmaintained" not in capfd.readouterr().err


SCRIPT = """
import sys, pickle
{imports}
from arl_core.registry import resolve_env
from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext
assert "gym" not in sys.modules or {gym_first}
env = build_env(pickle.loads(pickle.dumps(resolve_env({name!r}))), EnvContext(0, 0, 0))
env.reset(seed=0)
print([env.step(0)[1:4] for _ in range(2)], type(env).__name__, env.observation_space)
"""

MODULE = """
import gym
import numpy as np
class Bell(gym.Env):
    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(2)
    def reset(self):
        return 0
    def step(self, action):
        return 1, 0.5, False, {}
gym.register("Bell-v0", entry_point="bell:Bell", max_episode_steps=2)
"""


@pytest.mark.parametrize(("name", "first"), [("gym:bell:Bell-v0", False), ("gym:Bell-v0", True), ("py:bell:Bell", False)])
def test_a_four_value_environment_of_a_module(name: str, first: bool, tmp_path: Path) -> None:
    (tmp_path / "bell.py").write_text(MODULE)
    script = SCRIPT.format(imports="import bell" if first else "", gym_first=first, name=name)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ends = "(0.5, False, False)" if name.startswith("py:") else "(0.5, False, True)"
    kind = "LegacyGymEnv" if name.startswith("py:") else "TimeLimit"
    assert done.stdout.strip() == f"[(0.5, False, False), {ends}] {kind} Discrete(2)"


def test_legacy_gym_is_not_imported_for_a_gymnasium_id() -> None:
    assert importlib.util.find_spec("gym") is not None
    code = (
        "import sys\nfrom arl_core.registry import make_env\nmake_env('gym:CartPole-v1')\n"
        "print('gym' in sys.modules, 'pygame' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False False\n", "")
