"""The vectorised mazes begin single episodes anew as the single ones do."""

from __future__ import annotations

import numpy as np

from arl_core.envs.decorrelate import Decorrelation, ends_episodes
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import build_env
from arl_core.registry import resolve_env


def test_random_steps_are_those_of_single_environments() -> None:
    env = resolve_env("maze:random-5x5", {"new_maze_each_episode": True})
    contexts = make_contexts(3, 0, 16)
    space = build_env(env, contexts[0]).action_space
    found = []
    for resolved in (env, type(env)(**{**vars(env), "vector_maker": None})):
        group = build_group(resolved, contexts)
        assert ends_episodes(group)
        obs = {key: np.zeros((16, *spec.shape), spec.dtype) for key, spec in group.obs_specs.items()}
        group.reset_into(obs)
        on_their_way = Decorrelation(60, space).play(group, obs, contexts)
        found.append((obs, on_their_way))
        group.close()
    for key, value in found[0][0].items():
        np.testing.assert_array_equal(value, found[1][0][key])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert len(np.unique(found[0][0]["obs"].reshape(16, -1), axis=0)) > 3
