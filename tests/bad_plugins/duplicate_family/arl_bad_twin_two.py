"""The other of two distributions that claim the same family."""

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily, EnvSpec


@hookimpl
def arl_environments():
    cartpole = {"target": "gymnasium.envs.classic_control:CartPoleEnv"}
    spec = EnvSpec("v0", "arl_core.envs.make:make_target", cartpole, max_episode_steps=100)
    return [EnvFamily("twin", "the second twin", (spec,), "v0")]
