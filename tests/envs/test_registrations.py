"""Ids that a script registers exist in the workers too, for a callable that makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from arl_core.envs.registrations import named_in
from arl_core.registry.local import describe_target

SCRIPT = """
import base64, functools, json, sys
import numpy as np
import {gym} as gym
from arl_core.registry.local import describe_target

class Net(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, hosts=1):
        self.hosts = hosts

gym.register("TestNets-v0", entry_point=Net, kwargs={{"hosts": 7}})

def make():
    return gym.make("TestNets-v0", disable_env_checker=True)

made = [make, lambda: make(), functools.partial(gym.make, "TestNets-v0", disable_env_checker=True)]
print(json.dumps([base64.b64encode(describe_target(each).code).decode() for each in made]))
"""
WORKER = """
import base64, json, sys
import cloudpickle
print([cloudpickle.loads(base64.b64decode(code))().unwrapped.hosts for code in json.load(sys.stdin)])
"""


@pytest.mark.parametrize("library", ["gymnasium", "gym"])
def test_an_id_of_the_script_is_made_in_another_process(library: str, tmp_path: Path) -> None:
    file = tmp_path / "user_script.py"
    file.write_text(SCRIPT.format(gym=library))
    codes = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=True).stdout
    made = subprocess.run([sys.executable, "-c", WORKER], input=codes, capture_output=True, text=True, timeout=60, check=True)
    assert made.stdout.strip() == "[7, 7, 7]"


def test_nothing_is_carried_for_the_librarys_own_ids() -> None:
    described = describe_target(lambda: gymnasium.make("CartPole-v1"))
    assert described.code is not None
    assert b"CartPole-v1" in described.code
    assert named_in(described.code) == {}
