"""The checks of wrappers and encoders find what they are for, around a plugin's own environment or plain ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from arl_core.testing import plugin_checks

Install = Callable[..., Path]

WRAPPERS = """
import gymnasium
from pydantic import BaseModel

class Factor(BaseModel):
    factor: float = 1.0

class Louder(gymnasium.RewardWrapper):
    def __init__(self, env, factor):
        super().__init__(env)
        self.factor = factor

    def reward(self, reward):
        return self.factor * reward

class Mirror(gymnasium.ActionWrapper):
    def action(self, action):
        return 1 - action

class Rude(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return observation.astype("float64") * 2
"""
WRAPPER_HOOK = """
@hookimpl
def arl_wrappers():
    from arl_core.interfaces import WrapperSpec
    where = "arl_plugin_NAME.wrappers"
    plain = [WrapperSpec(f"NAME/{name.lower()}", f"{where}:{name}") for name in ("Mirror", "Rude")]
    return [*plain, WrapperSpec("NAME/louder", f"{where}:Louder", options=f"{where}:Factor")]


@hookimpl
def arl_encoders"""


def test_wrappers_must_keep_the_api(install_plugin: Install) -> None:
    hook = WRAPPER_HOOK.replace("NAME", "wrapped")
    install_plugin("wrapped", {"plugin.py": ("\n@hookimpl\ndef arl_encoders", hook)}, {"wrappers.py": WRAPPERS})
    results = {check.id: check.result() for check in plugin_checks("wrapped") if check.id.startswith("wrapper.")}
    assert results["wrapper.api[wrapped/mirror]"].message == "around wrapped:short"
    assert results["wrapper.api[wrapped/louder]"].message == "around wrapped:short"
    rude = results["wrapper.api[wrapped/rude]"]
    assert (rude.outcome, rude.message.startswith("gymnasium says: ")) == ("fail", True)


TAMED_HOOKS = """
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import WrapperSpec

@hookimpl
def arl_wrappers():
    here = "arl_tamed.wrappers"
    return [
        WrapperSpec(f"tamed/{name}", f"{here}:{single}", vector_maker=f"{here}:{group}")
        for name, single, group in [
            ("counted", "Counted", "CountedGroup"), ("uncounted", "Counted", "Same"), ("forgets", "Counted", "Forgets"),
            ("small", "Small", "small_group"), ("picky", "Picky", "Same"), ("untrue", "Untrue", "Same"),
        ]
    ]
"""
TAMED_WRAPPERS = """
import gymnasium
import numpy as np
from arl_core.envs.wrappers.base import ObservedGroup, WrappedGroup
from arl_core.interfaces import UserError


class Counted(gymnasium.Wrapper):
    def reset(self, **given):
        self.steps = 0
        return self.env.reset(**given)

    def step(self, action):
        self.steps += 1
        observation, reward, *others = self.env.step(action)
        return observation, reward * self.steps, *others


class Same(WrappedGroup):
    def __init__(self, group, space):
        super().__init__(group)


class CountedGroup(Same):
    def reset_into(self, obs):
        self.steps = np.zeros(self.num_envs)
        super().reset_into(obs)

    def recv_into(self, views):
        ends = super().recv_into(views)
        self.steps = np.where(views.valid, self.steps + 1, 0)
        views.rewards[:] *= self.steps
        return ends


class Forgets(CountedGroup):  # that an episode begins anew
    def recv_into(self, views):
        ends = Same.recv_into(self, views)
        self.steps += views.valid
        views.rewards[:] *= self.steps
        return ends


class Small(gymnasium.ObservationWrapper):
    def __init__(self, env):
        super().__init__(env)
        height, width, _ = env.observation_space.shape
        self.observation_space = gymnasium.spaces.Box(0, 255, (height // 2, width // 2, 3), np.uint8)

    def observation(self, observation):
        return observation[::2, ::2]


class SmallGroup(ObservedGroup):
    def _write(self, obs, valid):
        obs["obs"][...] = self._inner["obs"][:, ::2, ::2]


def small_group(group, space):
    height, width, channels = group.obs_specs["obs"].shape
    specs = {"obs": group.obs_specs["obs"]._replace(shape=(height // 2, width // 2, channels))}
    return SmallGroup(group, specs, ["obs"])


class Untrue(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return {"obs": observation, "more": 1}


class Picky(gymnasium.Wrapper):
    def __init__(self, env):
        raise UserError("hexagonal boards only")
"""


def test_a_plugin_of_wrappers_alone_is_checked_around_plain_environments(fake_distribution: Callable[..., Path]) -> None:
    files = {"arl_tamed/__init__.py": "", "arl_tamed/plugin.py": TAMED_HOOKS, "arl_tamed/wrappers.py": TAMED_WRAPPERS}
    fake_distribution("arl-tamed", plugins={"tamed": "arl_tamed.plugin"}, files=files)
    results = {check.id: check.result() for check in plugin_checks("tamed") if check.id.startswith("wrapper.")}
    assert results["wrapper.api[tamed/counted]"].message == "around gym:CartPole-v1"
    assert results["wrapper.api[tamed/small]"].message == "around py:arl_core.testing.plain:Pictures"
    assert all(results[f"wrapper.vector[tamed/{name}]"].message.endswith("in 4 environments") for name in ("counted", "small"))
    uncounted, forgets = (results[f"wrapper.vector[tamed/{name}]"] for name in ("uncounted", "forgets"))
    assert (uncounted.outcome, forgets.outcome) == ("fail", "fail")
    assert uncounted.message == "step 2: rewards of environment 0: 1.0 and 2.0 (vectorised and single)"
    assert re.fullmatch(r"step \d+: rewards of environment \d: .* and 1.0 \(vectorised and single\)", forgets.message)
    picky = results["wrapper.api[tamed/picky]"]
    told = "the plugin has no environment to wrap, and it refuses plain ones: hexagonal boards only"
    assert (picky.outcome, picky.message) == ("skip", told)
    untrue = results["wrapper.api[tamed/untrue]"]
    assert (untrue.outcome, "around every plain environment; gym:CartPole-v1: " in untrue.message) == ("fail", True)
    assert untrue.cure.endswith("with arl_core.interfaces.UserError")


ENCODING_HOOKS = """
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EncoderSpec

@hookimpl
def arl_encoders():
    names = ("Vectors", "Short", "Broken", "Shy")
    return [EncoderSpec(f"encoding/{name.lower()}", f"arl_encoding.networks:{name}") for name in names]
"""
ENCODING_NETWORKS = """
from torch import nn
from arl_core.interfaces import UserError

class Vectors(nn.Module):
    def __init__(self, obs_space, cfg):
        super().__init__()
        (size,) = obs_space["obs"].shape
        self.layer = nn.Linear(size, 8)
        self.output_size = 8

    def forward(self, obs):
        return self.layer(obs["obs"])

class Short(Vectors):
    def __init__(self, obs_space, cfg):
        super().__init__(obs_space, cfg)
        self.output_size = 7

class Broken(Vectors):
    def forward(self, obs):
        return self.layers(obs["obs"])

class Shy(Vectors):
    def __init__(self, obs_space, cfg):
        raise UserError("graphs only")
"""


def test_a_plugin_of_encoders_alone_is_checked_on_plain_observations(fake_distribution: Callable[..., Path]) -> None:
    files = {
        "arl_encoding/__init__.py": "",
        "arl_encoding/plugin.py": ENCODING_HOOKS,
        "arl_encoding/networks.py": ENCODING_NETWORKS,
    }
    fake_distribution("arl-encoding", plugins={"encoding": "arl_encoding.plugin"}, files=files)
    results = {check.id: check.result() for check in plugin_checks("encoding") if check.id.startswith("encoder.")}
    vectors = "gym:CartPole-v1: 40 parameters -> 8; gym:Pendulum-v1: 32 parameters -> 8"
    assert results["encoder.shape[encoding/vectors]"].message == vectors
    assert results["encoder.weights[encoding/vectors]"].outcome == "ok"
    assert results["encoder.shape[encoding/short]"].message == "it gives [24, 8] for 24 rows, not [24, 7], for gym:CartPole-v1"
    broken = results["encoder.shape[encoding/broken]"]
    assert (broken.outcome, "fails on every plain observation space: AttributeError: " in broken.message) == ("fail", True)
    assert results["encoder.shape[encoding/shy]"].outcome == "skip"


def test_the_page_names_every_rule(install_plugin: Install, install_parts: Install) -> None:
    page = (Path(__file__).parents[2] / "docs" / "testing-plugins.md").read_text(encoding="utf-8")
    hook = WRAPPER_HOOK.replace("NAME", "paged")
    install_plugin("paged", {"plugin.py": ("\n@hookimpl\ndef arl_encoders", hook)}, {"wrappers.py": WRAPPERS})
    install_parts("pagedparts")
    listed = re.findall(r"`(\w+)\.(\w+)`|`\.(\w+)`", page.partition("## The checks")[2])
    group, named = "", set()
    for first, rule, further in listed:
        group = first or group
        named.add(f"{group}.{rule or further}")
    checks = [*plugin_checks("paged"), *plugin_checks("pagedparts")]
    assert named == {check.id.partition("[")[0] for check in checks}
