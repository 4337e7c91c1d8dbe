from __future__ import annotations

import json
import resource
from typing import Any

import pytest

from arl_core import __version__
from arl_core.interfaces import UserError
from arl_core.registry import discovery
from arl_core.registry.known import KNOWN_FAMILIES
from arl_core.registry.names import spell


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
        from arl_core.registry.discovery import plugin_records
        from arl_core.registry.selection import PluginSelection
        selections = PluginSelection(), PluginSelection(block=("ACME.x",)), PluginSelection(prefer=("nobody", "acme_x"))
        result = [[r.dist, r.status, r.error] for s in selections for r in plugin_records(s) if r.name == "x"]
        """
    )
    assert statuses == [
        ["acme-x", "conflict", "acme-x 2.0 provides 'x', and so does arl-plugin-x 1.0"],
        ["arl-plugin-x", "conflict", "arl-plugin-x 1.0 provides 'x', and so does acme-x 2.0"],
        ["acme-x", "blocked", "acme-x is excluded by plugins_block"],
        ["arl-plugin-x", "found", ""],
        ["acme-x", "found", ""],
        ["arl-plugin-x", "conflict", "arl-plugin-x 1.0 provides 'x', which plugins_prefer gives to acme-x"],
    ]


def test_unreadable_metadata_is_one_record_and_harms_no_other(fakes: Any) -> None:
    fakes.dist("broken-dist", entry_points="[arl.plugins.v1]\nno equals sign here\n")
    fakes.dist("unrelated", entry_points="[console_scripts]\nno equals sign here either\n")
    fakes.corridor()
    found = fakes.python(
        """
        from arl_core.registry.discovery import plugin_records
        result = {r.name: [r.status, r.error] for r in plugin_records()}
        """
    )
    assert found["broken-dist"][0] == "broken"
    assert found["broken-dist"][1].startswith("broken-dist 1.0: entry_points.txt cannot be read: ")
    assert "unrelated" not in found
    assert found["corridor"] == ["found", ""]


def test_a_plugin_of_a_later_api_or_for_another_core_is_a_record(fakes: Any) -> None:
    fakes.dist("both", entry_points="[arl.plugins.v2]\nboth = two\nonly = two\n[arl.plugins.v1]\nboth = one\n")
    fakes.dist("others", entry_points="[arl.plugins.v10]\nten = x\n[arl.plugins.v0]\nzero = x\n[arl.plugins.vx]\nx = x\n")
    fakes.dist("old-maze", plugins={"hall": "x"}, requires=["numpy>=99", "arl-core (>=98)", "arl-core>=97; extra == 'more'"])
    fakes.dist("unreadable", plugins={"odd": "x"}, requires=["arl-core >=> 3"])
    fakes.dist("new-maze", plugins={"hall": "y"}, requires=["arl-core"])
    records = fakes.python(
        """
        from arl_core.registry.discovery import plugin_records
        from arl_core.registry.selection import PluginSelection
        selection = PluginSelection(block=("old-maze",))
        result = [{r.name + " " + r.dist: [r.target, r.status, r.error] for r in plugin_records(s)}
                  for s in (PluginSelection(), selection)]
        """
    )
    found, blocked = records
    assert found["both both"] == ["one", "found", ""]
    newer = "needs a newer arl-core: {} 1.0 is written for plugin API v{}; pip install -U arl-core"
    assert found["only both"] == ["two", "newer API", newer.format("both", 2)]
    assert found["ten others"] == ["x", "newer API", newer.format("others", 10)]
    assert not {"zero others", "x others"} & found.keys()
    assert found["hall old-maze"][1:] == [
        "incompatible",
        f"old-maze 1.0 asks for arl-core>=98, but arl-core {__version__} is installed: pip install -U arl-core",
    ]
    assert found["hall new-maze"] == ["y", "found", ""]  # no conflict with what cannot be used
    assert found["odd unreadable"][1] == "broken"
    assert found["odd unreadable"][2].startswith("unreadable 1.0: Requires-Dist 'arl-core >=> 3' cannot be read: ")
    assert blocked["hall old-maze"][1] == "blocked"  # what the user decided goes before what we found


def test_packaging_is_imported_only_for_a_bound_on_the_core(fakes: Any) -> None:
    fakes.dist("plain", plugins={"plain": "x"}, requires=["arl-core", "arl-core-extras>=3", "numpy>=1"])
    code = "import sys; from arl_core.registry import discovery as d; d.plugin_records(); result = 'packaging' in sys.modules"
    assert fakes.python(code) is False
    fakes.dist("bound", plugins={"bound": "x"}, requires=["arl-core>=0.0.1"])
    assert fakes.python(code) is True


def _children_s() -> float:
    """Seconds on a core of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_listing_is_quick_among_300_distributions(fakes: Any) -> None:
    """A third of them plugins, each with a requirement on the core and a long description. The whole process's time on a core
    counts, the least of a few: of a busy machine's it takes no more."""
    long = "\n" + "A line of the description, as long as those of readmes are.\n" * 500
    for index in range(300):
        bound = ["arl-core>=0.0.1", "numpy>=1; python_version >= '3'"]
        if index % 3 == 0:
            fakes.dist(f"arl-plugin-x{index}", plugins={f"x{index}": "nowhere"}, requires=bound)
        else:
            fakes.dist(f"ordinary-{index}", entry_points="[console_scripts]\ntool = nowhere:main\n", requires=bound)
    for metadata in fakes.folder.glob("*.dist-info/METADATA"):
        metadata.write_text(metadata.read_text() + long)
    times_s = []
    for _ in range(3):
        before_s = _children_s()
        done = fakes.arl("plugins", "list", "--json")
        times_s.append(_children_s() - before_s)
    assert sum(record["status"] == "found" for record in json.loads(done.stdout)) >= 102, done.stderr
    assert min(times_s) < 0.6, times_s


def test_metadata_in_odd_forms(fakes: Any) -> None:
    fakes.dist("folded", plugins={"folded": "x"})
    info = fakes.folder / "folded-1.0.dist-info" / "METADATA"
    info.write_text("metadata-version: 2.1\nNAME: folded\nversion: 3\nRequires-Dist: arl-core\n  >=98\n\nName: no\n")
    fakes.dist("nameless", plugins={"nameless": "x"})
    (fakes.folder / "nameless-1.0.dist-info" / "METADATA").unlink()
    fakes.dist("latin", plugins={"latin": "x"})
    (fakes.folder / "latin-1.0.dist-info" / "METADATA").write_bytes(b"Name: latin\nSummary: \xe9\n")
    old = fakes.folder / "old_style.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old-style\nVersion: 4\n")
    (old / "requires.txt").write_text("numpy\narl-core>=98\n")
    (old / "entry_points.txt").write_text("[arl.plugins.v1]\nold = x\n")
    found = fakes.python(
        """
        from arl_core.registry.discovery import plugin_records
        result = {r.name: [r.owner, r.status, r.error] for r in plugin_records()}
        """
    )
    assert found["folded"][:2] == ["folded 3", "incompatible"]
    assert found["nameless"] == ["nameless 1.0", "found", ""]
    assert found["latin"][1] == "broken"
    assert found["latin"][2].startswith("latin 1.0: its metadata cannot be read: UnicodeDecodeError")
    assert found["old"][:2] == ["old-style 4", "incompatible"]


@pytest.mark.parametrize("family", KNOWN_FAMILIES)
def test_the_spellings_that_the_core_knows_are_the_plugins_own(family: str) -> None:
    """Otherwise an installed plugin is told to be missing."""
    dist, spellings = KNOWN_FAMILIES[family]
    if dist not in {record.dist for record in discovery.plugin_records()}:
        pytest.skip(f"{dist} is not installed")
    assert set(spellings) <= {prefix.text for prefix in discovery.prefixes() if prefix.family == family}


def test_a_known_family_whose_distribution_is_broken_is_not_told_to_be_missing(
    fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: pydantic reads all entry points when it is first imported, and cannot read these either."""
    fakes.dist("arl-plugin-nasim", entry_points="[arl.plugins.v1]\nno equals sign here\n")
    monkeypatch.syspath_prepend(fakes.folder)
    monkeypatch.setattr(discovery, "_scan", discovery._scan.__wrapped__)
    told = {}
    for name in ("nasim:tiny", "nasm"):
        with pytest.raises(UserError) as caught:
            spell(name)
        told[name] = str(caught.value)
    reason = "arl-plugin-nasim 1.0: entry_points.txt cannot be read: "
    assert told["nasim:tiny"].startswith(f"environment 'nasim:tiny': {reason}")
    assert told["nasm"].startswith(f"no environment 'nasm'. Did you mean 'nasim'?\n  'nasim': {reason}")


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
        from arl_core.registry.discovery import plugin_records
        result = [[r.version, r.target, r.status] for r in plugin_records() if r.name == "twice"]
        """
    )
    assert records == [["2.0", "new_module", "found"]]
