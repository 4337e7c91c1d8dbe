"""What crosses into a worker: pickles, goes to JSON and back, and is built in a fresh process by imports alone."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from arl_core.envs.make import build_env, resolved_from_json, resolved_to_json
from arl_core.interfaces import EnvContext
from arl_core.registry import make_env, resolve_env

BUILD = """
import pickle, sys
from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext

def layers(env):
    return [type(env).__name__, *(layers(env.env) if hasattr(env, "env") else [])]

result = []
for env in pickle.load(open("resolved.pickle", "rb")):
    built = build_env(env, EnvContext(run_seed=1, index=0, seed=1))
    observation, info = built.reset(seed=1)
    reward = float(built.step(built.action_space.sample())[1])
    result.append({"layers": layers(built), "reward": reward, "size": getattr(built.unwrapped, "size", None)})
heavy = {"pluggy", "torch", "arl_core.registry.resolve", "arl_core.registry.discovery"} & set(sys.modules)
result.append({"heavy": sorted(heavy), "pydantic": "pydantic" in sys.modules})
"""

ENV_CLASS = """
import gymnasium
import numpy as np

SCALE = 3.0

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, size=(1, 2)):
        self.size = list(size)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        return np.ones(2, np.float32), SCALE, False, False, {}
"""

CROSS = """
import pickle
from arl_core.registry import resolve_env
resolved = [resolve_env(env, options) for env, options in chosen]
assert pickle.loads(pickle.dumps(resolved)) == resolved
pickle.dump(resolved, open("resolved.pickle", "wb"))
"""


def cross(fakes: Any, script: str) -> Any:
    """Run a user's script that resolves what is `chosen`, then build that in a process that never saw the script."""
    (fakes.folder / "script.py").write_text(script + CROSS)
    done = fakes.run("script.py")
    assert done.returncode == 0, done.stderr
    (fakes.folder / "script.py").unlink()
    return fakes.python(BUILD)


def test_code_of_a_script_reaches_a_fresh_process_by_value(fakes: Any) -> None:
    script = """
def inner():
    class Inner(Mine): pass
    return Inner

gymnasium.register("Mine-v0", Mine, max_episode_steps=9, kwargs={"size": (3, 4)})
gymnasium.register("space/Mine-v0", "__main__:Mine", kwargs={"size": (6,)})
chosen = [(Mine, {}), (Mine, {"size": [5]}), (inner(), {}), (lambda: Mine((7,)), {}), ("py:__main__:Mine", {}),
          ("gym:Mine-v0", {}), ("gym:space/Mine-v0", {}), ("gym_Mine-v0", {"size": [8]})]
"""
    *built, process = cross(fakes, ENV_CLASS + script)
    assert process["heavy"] == []
    assert [env["size"] for env in built] == [[1, 2], [5], [1, 2], [7], [1, 2], [3, 4], [6], [8]]
    assert {env["reward"] for env in built} == {3.0}
    one, inner, limited = ["Mine"], ["Inner"], ["TimeLimit", "Mine"]
    assert [env["layers"] for env in built] == [one, one, inner, one, one, limited, one, limited]


def test_code_of_modules_is_named_and_imported_there(fakes: Any) -> None:
    fakes.module("mine", ENV_CLASS)
    fakes.module("registers", "from mine import *\nimport mine\ngymnasium.register('Other-v0', mine.Mine)")
    script = """
import gymnasium, mine
gymnasium.register("Mine-v0", "mine:Mine", kwargs={"size": [8]})
chosen = [("gym:Mine-v0", {}), ("gym:registers:Other-v0", {}), (mine.Mine, {}), ("py:mine:Mine", {})]
"""
    *built, process = cross(fakes, script)
    assert process == {"heavy": [], "pydantic": False}
    assert [env["size"] for env in built] == [[8], [1, 2], [1, 2], [1, 2]]
    named = fakes.python(
        """
        from arl_core.registry import resolve_env
        from mine import Mine
        env, other = resolve_env(Mine), resolve_env("gym:registers:Other-v0")
        result = [env.id, env.kwargs, env.code, other.id, other.imports]
        """
    )
    assert named == ["py:mine:Mine", {"target": "mine:Mine"}, None, "gym:registers:Other-v0", ["registers"]]


def test_a_plugins_environment_with_wrappers_and_time_limit(fakes: Any) -> None:
    fakes.corridor()
    built, process = cross(fakes, "chosen = [('corridor', {'slippery': True})]\n")
    assert built["layers"] == ["TimeLimit", "TransformReward", "Corridor"]
    assert built["reward"] == 2.0
    assert process["pydantic"] is True
    assert set(process["heavy"]) <= {"pluggy"}  # the fake keeps its hooks and its environment in one module


def test_what_cannot_be_carried_says_so(fakes: Any) -> None:
    (fakes.folder / "script.py").write_text(
        "import threading\nfrom arl_core.interfaces import UserError\nfrom arl_core.registry import resolve_env\n"
        f"{ENV_CLASS}\nLOCK = threading.Lock()\nclass Held(Mine):\n    def reset(self, **k):\n        return LOCK\n"
        "try:\n    resolve_env(Held)\nexcept UserError as error:\n    print(error)\n"
    )
    told = fakes.run("script.py").stdout.strip()
    assert told.startswith("environment '__main__:Held' of your script cannot be sent to the workers: TypeError: ")
    assert told.endswith("Move it into a module and name it py:module:attr")


@pytest.mark.parametrize("env", ["gym:CartPole-v1", "gym:Taxi-v3", lambda: None])
def test_round_trips(env: Any) -> None:
    resolved = resolve_env(env, wrappers=[{"name": "reward-scale", "options": {"scale": 2.0}}])
    assert pickle.loads(pickle.dumps(resolved)) == resolved
    assert resolved_from_json(json.loads(json.dumps(resolved_to_json(resolved)))) == resolved


def test_gymnasium_environments_are_built_without_checker_and_order_enforcement() -> None:
    env = build_env(resolve_env("gym:CartPole-v1"), EnvContext(run_seed=0, index=0, seed=0))
    assert type(env).__name__ == "TimeLimit"
    assert env.env is env.unwrapped  # type: ignore[attr-defined]
    assert env.spec is not None
    assert env.spec.max_episode_steps == 500


def test_make_env_is_seeded_and_takes_options() -> None:
    first, second, third = (make_env("gym:CartPole-v1", seed=seed, sutton_barto_reward=True) for seed in (1, 1, 2))
    draws = [env.reset()[0].tolist() for env in (first, second, third)]
    assert draws[0] == draws[1] != draws[2]
    assert first.step(0)[1] == 0.0


def test_what_is_no_environment_is_named() -> None:
    from arl_core.interfaces import UserError

    with pytest.raises(UserError, match=r"environment 'py:os:getcwd' made str, which is not a gymnasium\.Env"):
        make_env("py:os:getcwd")
