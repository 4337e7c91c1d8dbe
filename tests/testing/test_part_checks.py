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
        ("return self.scale.square()", "return 1 / 0 * self.scale", "part.trains", "ZeroDivisionError"),
        ("class Algorithm(PolicyGradient):", "class Algorithm:", "part.trains", "with gym:CartPole-v1 the run ended"),
    ],
)  # fmt: skip
def test_a_broken_part_is_found(old: str, new: str, rule: str, says: str, install_parts: Install) -> None:
    name = "b" + re.sub(r"\W|_", "", new)[:20].lower()
    install_parts(name, old, new)
    checks = [check for check in plugin_checks(name) if check.id.startswith(f"{rule}[")]
    results = [result for check in checks if (result := check.result()).outcome == "fail"]
    assert len(results) == 1
    assert says in results[0].message
    assert results[0].cure


def test_a_part_may_refuse_the_plain_environment(install_parts: Install) -> None:
    refusal = 'from arl_core.interfaces import UserError; raise UserError("images only")'
    install_parts("picky", "super().__init__()\n        self.layer", f"super().__init__(); {refusal}; self.layer")
    check = next(check for check in plugin_checks("picky") if check.id == "part.trains[picky/model]")
    assert check.result().outcome == "skip"
    assert "images only" in check.result().message
