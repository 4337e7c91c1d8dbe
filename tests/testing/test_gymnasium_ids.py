"""The kit and environments that are registered with Gymnasium."""

from __future__ import annotations

from arl_core.testing import plugin_checks


def test_a_gymnasium_vector_environment_is_compared_alone_for_it_has_one_seed() -> None:
    wanted = {"env.vector[gym-vector:CartPole-v1]", "env.state[gym-vector:CartPole-v1]", "wrapper.api[mask-from-info]"}
    results = {check.id: check.result() for check in plugin_checks("gym-vector:CartPole-v1") if check.id in wanted}
    assert results.keys() == wanted
    assert {check: result.outcome for check, result in results.items()} == {
        "env.vector[gym-vector:CartPole-v1]": "ok",
        "env.state[gym-vector:CartPole-v1]": "ok",
        "wrapper.api[mask-from-info]": "skip",  # it looks at the first info, and refuses
    }
    assert "in 1 environments" in results["env.vector[gym-vector:CartPole-v1]"].message
