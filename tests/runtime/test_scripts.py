"""Users' own scripts, run as they are: no guard, classes and ids of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_support import script

COMMON = "num_workers=1, num_envs_per_worker=2, policy_kwargs={'rollout': 8, 'batch_size': 32}"


def test_a_script_without_a_guard_with_classes_and_ids_of_its_own(tmp_path: Path) -> None:
    done = script(
        f"""
print("the script runs")
import gymnasium as gym, numpy as np
from arl_core import APPO

class Mine(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {{}}
    def step(self, action):
        return np.zeros(1, np.float32), REWARD, True, False, {{}}

REWARD = 3.0
gym.register("Mine-v0", Mine, max_episode_steps=5)
gym.register("Named-v0", "__main__:Mine")
APPO("gym:Mine-v0")

model = APPO(Mine, {COMMON})
print("class", model.train(100).return_mean)
model.close()
with APPO("gym:Named-v0", {COMMON}) as model:
    print("named", model.train(100).return_mean)
last = APPO(lambda: Mine(), {COMMON})  # not closed: the end of the script ends it
print("last", int(last.train(100)))
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the script runs", "class 3.0", "named 3.0", "last 0"
    ]  # fmt: skip
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("start", ["import program", "import runpy; runpy.run_path('program.py')"], ids=["import", "run_path"])
def test_a_program_may_run_as_any_module(start: str, tmp_path: Path) -> None:
    """Workers neither look for that module nor run the program again."""
    (tmp_path / "program.py").write_text(
        f"""
import gymnasium as gym
from arl_core import APPO
from tiny_envs import Bandit

REWARD = 3.0
class Mine(Bandit):
    def step(self, action):
        return super().step(action)[0], REWARD, True, False, {{}}

gym.register("Mine-v0", Mine)
gym.register("Named-v0", f"{{__name__}}:Mine")
for env in Mine, lambda: Mine(), "gym:Mine-v0", "gym:Named-v0", f"py:{{__name__}}:Mine":
    with APPO(env, {COMMON}) as model:
        print(model.train(64).return_mean)
"""
    )
    done = script(start, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["3.0"] * 5


def test_vector_environments_of_a_script(tmp_path: Path) -> None:
    """Classes, and ids registered with nothing but a vector environment: trained on in groups, evaluated, refused."""
    done = script(
        f"""
import gymnasium as gym
from arl_core import APPO, UserError, make_env
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

class Mine(CartPoleVectorEnv):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward * REWARD, terminated, truncated, {{"angle": obs[:, 2]}}

REWARD = 3.0
gym.register("Mine-v0", vector_entry_point=Mine, max_episode_steps=5)
for env in Mine, "gym-vector:Mine-v0":
    with APPO(env, {COMMON}) as model:
        status = model.train(400)
        assert status == 0, status.error
        found = model.evaluate(episodes=4)
        print(status.return_mean == 15.0, "angle" in found)
print(make_env("gym-vector:Mine-v0", sutton_barto_reward=True).step(0)[1])
for wrong in "gym:Mine-v0", lambda: Mine(num_envs=2):
    try:
        APPO(wrong, {COMMON}).train(10)
    except UserError as error:
        print(error)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    cut, registered, reward, single, many = done.stdout.splitlines()
    assert (cut, registered, reward) == ("False True", "True True", "-0.0")
    assert single == (
        "environment 'gym:Mine-v0' has no entry point for a single environment. gym-vector:Mine-v0 steps many together"
    )
    assert "made Mine, which steps many environments at once. Give its class itself, or register" in many


@pytest.mark.parametrize("mode", ["'async_rl': True", "'inference': 'central'", "'serial': True"])
def test_parts_of_a_script(mode: str, tmp_path: Path) -> None:
    """Encoder, loss and algorithm by class, carried to every process by value; a file alone does not bring them back."""
    parts = Path(__file__).with_name("own_parts.py").read_text()
    (tmp_path / "program.py").write_text(
        f"""{parts}
import functools
from arl_core import APPO, UserError, load_policy

fields = {{'rollout': 8, 'batch_size': 64, 'losses': [{{'name': Shrink, 'options': {{'weight': 0.5}}}}]}}
fields |= {{'algo': Mine, {mode}}}
seen = set()
def unseen(values):
    seen.update(values["losses"])
    return not any("feature_size" in name for name in seen)

def narrow():
    class Narrow(Net):
        pass
    return functools.partial(Narrow)

fields["experiment"] = "other"
with APPO("gym:CartPole-v1", encoder=narrow(), num_workers=1, num_envs_per_worker=8, policy_kwargs=fields) as model:
    assert model.train(1000) == 0
try:
    load_policy("train_dir/other")
except UserError as error:
    print(str(error).partition(": ")[2])
fields["experiment"] = "mine"
with APPO("gym:CartPole-v1", encoder=Net, num_workers=2, num_envs_per_worker=4, policy_kwargs=fields) as model:
    status = model.train(200_000, callback=unseen)
    assert status in (0, 1), status.error
    print(model.config.encoder, type(model.policy().network.actor.encoder) is Net, any("feature_size" in name for name in seen))
print(load_policy("train_dir/mine", encoder=Net)(torch.zeros(3, 4)).params.shape)
try:
    load_policy("train_dir/mine")
except UserError as error:
    print(str(error).partition(": ")[2])
"""
    )
    done = script("import runpy; runpy.run_path('program.py', run_name='__main__')", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "a file alone may not name code to run, such as 'py:arl_core.registry.given:Narrow'. "
        "Give it again as the script did: encoder=...",
        "py:__main__:Net True True",
        "torch.Size([3, 2])",
        "a file alone may not name code to run, such as 'py:__main__:Net'. "
        "Name it yourself: --encoder py:my_script:Net, of my_script.py",
    ]


def test_parts_of_a_module_are_named_again_to_play_and_to_resume(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(Path(__file__).with_name("own_parts.py").read_text())
    run = "run --env gym:CartPole-v1 --num_workers 1 --num_envs_per_worker 4 --rollout 8 --batch_size 64 --train_dir td"
    named = "--encoder py:nets:Net --losses py:nets:Shrink --algo py:nets:Mine"
    commands = [
        f"{run} --experiment mine {named} --train_for_env_steps 1000",
        "eval td/mine --episodes 2",
        "eval td/mine --episodes 2 --encoder py:nets:Net",
        "run --resume --train_dir td --experiment mine --train_for_env_steps 2000",
        f"run --resume --train_dir td --experiment mine --train_for_env_steps 2000 {named}",
        f"{run} --experiment other --encoder py:nets:Nett",
    ]
    done = script(
        f"from arl_core.cli.main import main\nfor words in {commands!r}:\n    print('code', main(words.split()), flush=True)",
        tmp_path,
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == [
        f"code {code}" for code in (0, 2, 0, 2, 0, 2)
    ], done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("error")]
    refused = "a file alone may not name code to run, such as 'py:nets:Net'. Name it yourself: --encoder py:nets:Net"
    assert told == [
        f"error: td/mine/config.json: {refused}",
        f"error: saved run: {refused}",
        "error: encoder 'py:nets:Nett' cannot be imported: AttributeError: module 'nets' has no attribute 'Nett'. "
        "Did you mean 'Net'?",
    ]


@pytest.mark.slow
def test_a_module_beside_the_script_reaches_the_workers(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("from tiny_envs import Bandit\n\nclass Beside(Bandit):\n    pass\n")
    done = script(
        f"""
from arl_core import APPO
from beside import Beside
APPO("py:beside:Beside").close()
with APPO(Beside, {COMMON}) as model:
    print(int(model.train(64)))
""",
        tmp_path,
    )
    assert done.stdout.split() == ["0"], done.stderr


def test_a_module_in_the_present_folder_reaches_the_workers_of_arl(tmp_path: Path) -> None:
    """The script `arl`, unlike `python -m`, does not search it; a library's name is not hidden by a file there."""
    (tmp_path / "in_this_folder.py").write_text("from tiny_envs import Bandit\n\nclass Mine(Bandit):\n    pass\n")
    (tmp_path / "yaml.py").write_text("raise RuntimeError('hides a library')\n")
    words = "run --env py:in_this_folder:Mine --num_workers 1 --num_envs_per_worker 2 --train_for_env_steps 64 --rollout 8"
    done = script(
        f"""
import sys
sys.path.remove({str(tmp_path)!r})
from arl_core.cli.main import main
print(main({words!r}.split() + ["--batch_size", "32", "--experiment", "here"]))
""",
        tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "0", done.stderr


def test_a_run_of_a_script_is_evaluated_and_resumed_by_the_scripts_name(tmp_path: Path) -> None:
    fields = "{'rollout': 8, 'batch_size': 32, 'experiment': 'r', 'serial': True}"
    (tmp_path / "lab.py").write_text(
        f"""
from arl_core import APPO
from tiny_envs import Bandit

class Mine(Bandit):
    pass

if __name__ == "__main__":
    with APPO(Mine, num_workers=1, num_envs_per_worker=2, policy_kwargs={fields}) as model:
        print(int(model.train(64)))
"""
    )
    assert script("import runpy; runpy.run_path('lab.py', run_name='__main__')", tmp_path).stdout.split() == ["0"]
    done = script(
        """
from arl_core import load_policy
from arl_core.cli.main import main
from lab import Mine
print(load_policy("train_dir/r", env=Mine).obs_space.shape)
for words in ("", "--env py:lab:Mine", "--env py:tiny_envs:Drawn"):
    print(main(["eval", "train_dir/r", "--episodes", "1", *words.split()]))
print(main("run --resume --env py:lab:Mine --train_for_env_steps 128".split()))
print(main("eval train_dir/r --episodes 1 --env py:lab:Mine".split()))
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in {"(2,)", "0", "1", "2"}] == ["(2,)", "2", "0", "2", "0", "0"]
    assert "'py:__main__:Mine'. Name it yourself: --env py:my_script:Mine, of my_script.py" in done.stderr
    assert "was trained on 'py:__main__:Mine', not on 'py:tiny_envs:Drawn'" in done.stderr


def test_what_cannot_be_sent_says_what_to_do(tmp_path: Path) -> None:
    done = script(
        """
import threading
from tiny_envs import Bandit
from arl_core import APPO, UserError
lock = threading.Lock()
def make():
    return Bandit() if lock else None
make.__module__ = "__main__"
try:
    APPO(make)
except UserError as error:
    print(error)
""",
        tmp_path,
    )
    assert "cannot be sent to the workers" in done.stdout, (done.stdout, done.stderr)
    assert "py:module:attr" in done.stdout


def test_an_environment_that_raises_is_a_failure_with_its_traceback(tmp_path: Path) -> None:
    done = script(
        """
import functools, logging
logging.basicConfig(level=logging.ERROR)
from tiny_envs import Faulty
from arl_core import APPO
for kwargs in ({"max_worker_restarts": 0}, {"max_worker_restarts": 0, "serial": True}):
    env = functools.partial(Faulty, "raise", "step", 40 if "serial" not in kwargs else 0)
    if "serial" in kwargs:
        import tiny_envs
        tiny_envs.IN_WORKER = True  # serial mode steps them here
        env = functools.partial(Faulty, "raise", "step", 40)
    model = APPO(env, num_workers=1, num_envs_per_worker=2, policy_kwargs={"rollout": 8, "batch_size": 32, **kwargs})
    status = model.train(10_000)
    print(int(status), status == 2, status.error)
    weights = model.get_parameters()[0]
    print(len(weights) > 0)
    model.close()
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" ")[:2] for line in lines[::2]] == [["2", "True"]] * 2
    for line in lines[::2]:
        assert "environment 0" in line
        assert "seed" in line
        assert "failed in step" in line
        assert "ValueError: the maze has no exit" in line
    assert lines[1::2] == ["True", "True"]
    assert done.stderr.count('raise ValueError("the maze has no exit")') >= 2  # both tracebacks are logged
