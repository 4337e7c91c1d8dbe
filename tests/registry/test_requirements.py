from __future__ import annotations

import pytest

from arl_core.registry.discovery import ON_CORE
from arl_core.registry.requirements import complaint_about_core, unsatisfied

NEWER, OLDER = "pip install -U arl-core", "pip install -U arl-plugin-x"


@pytest.mark.parametrize(
    ("asked", "installed", "cure"),
    [
        ("arl-core", "0.1.0", ""),
        ("arl-core>=0.1,<0.2", "0.1.5", ""),
        ("arl-core>=0.2", "0.1.0", NEWER),
        ("arl-core~=0.2.3", "0.2.2", NEWER),
        ("arl-core==0.3.*", "0.2.0", NEWER),
        ("arl-core<0.2", "0.2.0", OLDER),
        ("arl-core==0.1.*", "0.2.0", OLDER),
        ("arl-core!=0.2.0", "0.2.0", OLDER),
        ("ARL_core [all] >=0.2", "0.1", NEWER),
        ("arl-core>=0.2", "0.2.0rc1", ""),
        ("arl-core>=0.2", "0.2.0.dev3+local.7", ""),
        ("arl-core==0.2.0", "0.2.0+cpu", ""),
        ("arl-core==0.2.0rc1", "0.2.0rc1", ""),
        ("arl-core<0.2", "0.2.0rc1", OLDER),
        ("arl-core>=0.3", "0.2.0.dev1", NEWER),
        ("arl-core>=9; python_version < '3'", "0.1.0", ""),
        ("arl-core>=9; python_version >= '3'", "0.1.0", NEWER),
        ("arl-core[gpu]>=9; extra == 'gpu'", "0.1.0", ""),
    ],
)
def test_what_a_plugin_asks_of_the_core(asked: str, installed: str, cure: str) -> None:
    complaint = complaint_about_core("arl-plugin-x 1.0", [asked], installed)
    assert complaint.endswith(f", but arl-core {installed} is installed: {cure}") if cure else complaint == ""
    assert not cure or complaint.startswith("arl-plugin-x 1.0 asks for arl-core")


def test_every_requirement_counts_and_an_unreadable_one_is_named() -> None:
    assert "asks for arl-core<0.1," in complaint_about_core("x 1.0", ["arl-core>=0.1", "arl-core<0.1"], "0.1.0")
    with pytest.raises(ValueError, match=r"^Requires-Dist 'arl-core >=>= 1' cannot be read: [^\n]+$"):
        complaint_about_core("x 1.0", ["arl-core >=>= 1"], "0.1.0")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("arl-core", ""),
        ("arl_core", ""),
        ("Arl.Core>=1", ">=1"),
        ("arl-core[all] (>=1)", "(>=1)"),
        ("arl-core[test]; extra == 'dev'", ""),
        ("arl-core-extras>=1", None),
        ("arl-coreutils>=1", None),
        ("my-arl-core>=1", None),
    ],
)
def test_which_requirements_are_on_the_core(text: str, bounds: str | None) -> None:
    match = ON_CORE.match(text)
    assert (match and match["bounds"].strip()) == bounds


@pytest.mark.parametrize(
    ("requirement", "complaint"),
    [
        ("pytest", ""),
        ("pytest>=1", ""),
        ("nobody-has-this>=1; python_version < '3'", ""),
        ("pytest>=999", "'pytest>=999' is not satisfied, pytest {pytest} is installed: pip install -U pytest"),
        ("pytest<1", "'pytest<1' is not satisfied, pytest {pytest} is installed: pip install 'pytest<1'"),
        # never a hint to install a name that somebody mistyped
        (
            "nobody-has-this>=1",
            "'nobody-has-this>=1' is not satisfied, nobody-has-this is not installed: install it, or change the requirement",
        ),
        (
            "arl_plugin_neverland>=1",
            "'arl_plugin_neverland>=1' is not satisfied, arl_plugin_neverland is not installed: "
            "pip install 'arl_plugin_neverland>=1'",
        ),
    ],
)
@pytest.mark.usefixtures("neverland")
def test_what_a_run_requires(requirement: str, complaint: str) -> None:
    assert unsatisfied(["pluggy", requirement]) == complaint.format(pytest=pytest.__version__)


def test_what_is_no_requirement_is_told() -> None:
    assert unsatisfied(["maze => 2"]).startswith("'maze => 2' is not a requirement such as 'arl-plugin-maze>=0.2': ")
