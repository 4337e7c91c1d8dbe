from __future__ import annotations

import json
from typing import Any

from arl_core import hookspecs
from arl_core.registry import discovery


def test_group_names_are_the_hook_specifications() -> None:
    assert discovery.PLUGIN_GROUP == hookspecs.ENTRY_POINT_GROUP
    assert discovery.PREFIX_GROUP == hookspecs.PREFIX_GROUP


def test_listing_plugins_imports_neither_plugin_nor_pydantic_nor_torch(fakes: Any) -> None:
    fakes.dist("arl-plugin-bomb", plugins={"bomb": "bomb"})
    fakes.module("bomb", "raise SystemExit(3)")
    code = (
        "import sys\n"
        "from arl_core.cli.main import main\n"
        "code = main(['plugins', 'list', '--json'])\n"
        "heavy = sorted({'bomb', 'pydantic', 'torch', 'gymnasium', 'pluggy', 'numpy'} & set(sys.modules))\n"
        "print('LOADED', code, heavy)"
    )
    done = fakes.run("-c", code)
    listing, _, loaded = done.stdout.partition("LOADED ")
    assert loaded.strip() == "0 []", done.stderr
    assert {
        "name": "bomb",
        "dist": "arl-plugin-bomb",
        "version": "1.0",
        "target": "bomb",
        "status": "found",
        "error": "",
    } in (json.loads(listing))


def test_two_distributions_with_one_name_are_in_conflict(fakes: Any) -> None:
    fakes.dist("arl-plugin-x", "1.0", {"x": "x_one"})
    fakes.dist("acme-x", "2.0", {"x": "x_two"})
    statuses = fakes.python(
        """
        from arl_core.registry import plugin_records
        result = [[r.dist, r.status, r.error] for r in plugin_records() if r.name == "x"]
        result += [[r.dist, r.status, r.error] for r in plugin_records(block=["ACME.x"]) if r.name == "x"]
        """
    )
    assert statuses == [
        ["acme-x", "conflict", "'x': also provided by arl-plugin-x 1.0"],
        ["arl-plugin-x", "conflict", "'x': also provided by acme-x 2.0"],
        ["acme-x", "blocked", "acme-x is blocked by plugins_block"],
        ["arl-plugin-x", "found", ""],
    ]


def test_unreadable_metadata_is_one_record_and_harms_no_other(fakes: Any) -> None:
    fakes.dist("broken-dist", entry_points="[arl.plugins.v1]\nno equals sign here\n")
    fakes.dist("unrelated", entry_points="[console_scripts]\nno equals sign here either\n")
    fakes.corridor()
    found = fakes.python(
        """
        from arl_core.registry import plugin_records
        result = {r.name: [r.status, r.error] for r in plugin_records()}
        """
    )
    assert found["broken-dist"][0] == "broken"
    assert found["broken-dist"][1].startswith("entry_points.txt cannot be read: ")
    assert "unrelated" not in found
    assert found["corridor"] == ["found", ""]


def test_a_stranger_cannot_take_the_cores_names_or_prefixes(fakes: Any) -> None:
    fakes.dist(
        "evil",
        plugins={"gym": "evil", "evil": "evil"},
        prefixes={"gym_Cart": "evil", "gym_": "evil", "corridor-": "corridor"},
    )
    fakes.module("evil", "raise RuntimeError('imported')")
    fakes.corridor()
    assert fakes.messages("gym:CartPole-v1", "gym_CartPole-v1", "corridor-long-v0") == {
        "gym:CartPole-v1": "gym:CartPole-v1",
        "gym_CartPole-v1": "gym:CartPole-v1",
        "corridor-long-v0": "corridor:long",
    }


def test_the_first_copy_of_a_distribution_on_the_path_counts(fakes: Any) -> None:
    fakes.dist("twice", "2.0", {"twice": "new_module"})
    (fakes.folder / "old").mkdir()
    old = type(fakes)(fakes.folder / "old")
    old.dist("Twice", "1.0", {"twice": "old_module"})
    records = fakes.python(
        f"""
        import sys
        sys.path.append({str(old.folder)!r})
        from arl_core.registry import plugin_records
        result = [[r.version, r.target, r.status] for r in plugin_records() if r.name == "twice"]
        """
    )
    assert records == [["2.0", "new_module", "found"]]
