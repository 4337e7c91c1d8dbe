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
env = pickle.load(open("resolved.pickle", "rb"))
from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext
built = build_env(env, EnvContext(run_seed=1, index=0, seed=1))
observation, info = built.reset(seed=1)
step = built.step(built.action_space.sample())
layers = []
layer = built
while hasattr(layer, "env"):
    layers.append(type(layer).__name__)
    layer = layer.env
result = {
    "env": type(built.unwrapped).__name__,
    "layers": layers,
    "observation": [float(x) for x in observation],
    "reward": float(step[1]),
    "heavy": sorted({"pluggy", "torch", "arl_core.registry.resolve"} & set(sys.modules)),
    "pydantic": "pydantic" in sys.modules,
    "attribute": getattr(built.unwrapped, "size", None),
}
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
resolved = resolve_env(env, options)
assert pickle.loads(pickle.dumps(resolved)) == resolved
pickle.dump(resolved, open("resolved.pickle", "wb"))
"""


def cross(fakes: Any, script: str) -> Any:
    """Run a user's script that resolves `env`, then build what it resolved in a process that never saw the script."""
    (fakes.folder / "script.py").write_text(script + CROSS)
    done = fakes.run("script.py")
    assert done.returncode == 0, done.stderr
    (fakes.folder / "script.py").unlink()
    return fakes.python(BUILD)


SCRIPTS = {
    "class of the script": ("env, options = Mine, {}", [1, 2]),
    "class of the script, with options": ("env, options = Mine, {'size': [5]}", [5]),
    "class of a function": ("def f():\n    class Inner(Mine): pass\n    return Inner\nenv, options = f(), {}", [1, 2]),
    "lambda": ("env, options = (lambda: Mine((7,))), {}", [7]),
    "py:__main__": ("env, options = 'py:__main__:Mine', {}", [1, 2]),
    "id, entry point a class": (
        "gymnasium.register('Mine-v0', Mine, max_episode_steps=9, kwargs={'size': (3, 4)})\n"
        "env, options = 'gym:Mine-v0', {}",
        [3, 4],
    ),
    "id, entry point in __main__": (
        "gymnasium.register('space/Mine-v0', '__main__:Mine', kwargs={'size': (3,)})\nenv, options = 'gym:space/Mine-v0', {}",
        [3],
    ),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_code_of_a_script_reaches_a_fresh_process_by_value(kind: str, fakes: Any) -> None:
    tail, size = SCRIPTS[kind]
    built = cross(fakes, f"{ENV_CLASS}\n{tail}\n")
    assert built["env"] in {"Mine", "Inner"}
    assert built["attribute"] == size
    assert built["reward"] == 3.0
    assert built["heavy"] == []
    assert ("TimeLimit" in built["layers"]) == ("max_episode_steps" in tail)


def test_an_id_registered_by_the_script_with_another_modules_class(fakes: Any) -> None:
    fakes.module("mymodule", ENV_CLASS)
    register = "gymnasium.register('Mine-v0', 'mymodule:Mine', kwargs={'size': [8]})"
    built = cross(fakes, f"import gymnasium\n{register}\nenv, options = 'gym:Mine-v0', {{}}\n")
    assert (built["attribute"], built["heavy"], built["pydantic"]) == ([8], [], False)


def test_an_id_that_a_named_module_registers(fakes: Any) -> None:
    fakes.module("mymodule", f"{ENV_CLASS}\ngymnasium.register('Mine-v0', Mine, kwargs={{'size': (6,)}})")
    built = cross(fakes, "env, options = 'gym:mymodule:Mine-v0', {}\n")
    assert (built["attribute"], built["heavy"]) == ([6], [])
    imports = fakes.python(
        "from arl_core.registry import resolve_env\nresult = list(resolve_env('gym:mymodule:Mine-v0').imports)"
    )
    assert imports == ["mymodule"]


def test_an_importable_class_is_named_and_not_carried(fakes: Any) -> None:
    fakes.module("mymodule", ENV_CLASS)
    built = cross(fakes, "from mymodule import Mine as env\noptions = {'size': [4]}\n")
    assert (built["attribute"], built["heavy"]) == ([4], [])
    named = fakes.python(
        "from mymodule import Mine\nfrom arl_core.registry import resolve_env\n"
        "env = resolve_env(Mine)\nresult = [env.id, env.kwargs, env.code]"
    )
    assert named == ["py:mymodule:Mine", {"target": "mymodule:Mine"}, None]


def test_a_plugins_environment_with_wrappers_and_time_limit(fakes: Any) -> None:
    fakes.corridor()
    fakes.module("quiet", "")
    built = cross(fakes, "env, options = 'corridor', {'slippery': True}\n")
    assert built["env"] == "Corridor"
    assert built["layers"] == ["TimeLimit", "TransformReward"]
    assert built["reward"] == 2.0


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

    with pytest.raises(UserError, match="environment 'py:os:getcwd' made str, which is not a gymnasium.Env"):
        make_env("py:os:getcwd")
