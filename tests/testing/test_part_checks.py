"""The kit's checks of a plugin's models, losses and algorithms."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from arl_core.testing import plugin_checks

Install = Callable[..., Path]


def test_models_losses_and_algorithms_are_trained(install_parts: Install) -> None:
    install_parts("parts")
    results = {check.id: check.result() for check in plugin_checks("parts")}
    assert {id: result for id, result in results.items() if result.outcome == "fail"} == {}
    assert results["algorithm.defaults[parts/algorithm]"].message == "gamma"
    trained = [results[f"part.trains[parts/{part}]"] for part in ("model", "loss", "algorithm")]
    assert [result.outcome for result in trained] == ["ok"] * 3
    assert all(re.match(r"gym:CartPole-v1: [\d,]+ frames in .* resumed until", result.message) for result in trained)


@pytest.mark.parametrize(
    ("old", "new", "rule", "says"),
    [
        ('"gamma": 0.98', '"gama": 0.98', "algorithm.defaults", "Did you mean 'gamma'?"),
        ('"gamma": 0.98', '"env": "maze"', "algorithm.defaults", "must not set 'env'"),
        ("self, obs_space, num_params, cfg", "self, obs_space", "descriptions.code", "is called as (..., ..., ...)"),
        ("return self.scale.square()", "return 1 / 0 * self.scale", "part.trains[{}/loss]", "ZeroDivisionError"),
        ("out[:, -1], None", "out[:, -1:], None", "part.trains[{}/model]", "gives values of shape (2, 1) for two rows"),
        ("out[:, -1], None", "out[:, -1, 0], None", "part.trains[{}/model]", "cannot be used for observations obs"),
        ("class Algorithm(PolicyGradient):", "class Algorithm:", "part.trains[{}/algorithm]", "the run ended"),
    ],
)  # fmt: skip
def test_a_broken_part_is_found(old: str, new: str, rule: str, says: str, install_parts: Install) -> None:
    name = "b" + re.sub(r"\W|_", "", new)[:20].lower()
    install_parts(name, old, new)
    checks = [check for check in plugin_checks(name) if check.id.startswith(rule.format(name))]
    results = [result for check in checks if (result := check.result()).outcome == "fail"]
    assert len(results) == 1
    assert says in results[0].message
    assert results[0].cure


def test_a_part_may_refuse_the_plain_environment(install_parts: Install) -> None:
    refusal = 'from arl_core.interfaces import UserError; raise UserError("images only")'
    install_parts("picky", "super().__init__()\n        self.layer", f"super().__init__(); {refusal}; self.layer")
    result = next(check for check in plugin_checks("picky") if check.id == "part.trains[picky/model]").result()
    assert result.outcome == "skip"
    assert "images only" in result.message


def test_a_part_for_images_is_trained_with_images(install_parts: Install) -> None:
    first = "self.layer = nn.Linear(sum(leaf.shape[0] for leaf in obs_space.values()), num_params + 1)"
    mine = """from arl_core.interfaces import UserError
        if len(obs_space["obs"].shape) != 3:
            raise UserError("images only")
        self.layer = nn.Sequential(nn.Flatten(), nn.Linear(40 * 48 * 3, num_params + 1))"""
    install_parts("seeing", first, mine)
    result = next(check for check in plugin_checks("seeing") if check.id == "part.trains[seeing/model]").result()
    assert result.message.startswith("py:arl_core.testing.plain:Pictures: "), result
