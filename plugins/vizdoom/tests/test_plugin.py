"""The plugin as the core sees it: all of it without ViZDoom."""

import subprocess
import sys
from pathlib import Path

import pytest
from arl_plugin_vizdoom import plugin
from arl_plugin_vizdoom.options import VizDoomOptions

from arl_core.cli.main import main
from arl_core.config import RunConfig
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["vizdoom", "doom_basic", "vizdoom_basic", "VizdoomBasic-v0", "VizdoomBasic-v1"])
def test_every_spelling_means_the_same_environment(name: str) -> None:
    assert resolve_env(name) == resolve_env("vizdoom:basic")


def test_the_old_name_of_the_corridor_means_it() -> None:
    assert resolve_env("VizdoomCorridor-v0") == resolve_env("vizdoom:deadly_corridor")


def test_every_scenario_comes_with_vizdoom() -> None:
    vizdoom = pytest.importorskip("vizdoom", reason="ViZDoom is not installed: pip install arl-plugin-vizdoom")
    there = {path.stem for path in Path(vizdoom.scenarios_path).glob("*.cfg")}
    assert set(plugin._SCENARIOS) <= there


def test_param_overrides_are_valid_configurations() -> None:
    overrides = plugin.arl_param_overrides("vizdoom:basic", "appo")
    assert overrides
    assert RunConfig(**overrides).model_dump(include=set(overrides)) == dict(overrides)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("arl_plugin_vizdoom.plugin", ["torch", "gymnasium", "pydantic", "vizdoom"]),
        ("arl_plugin_vizdoom.env", ["torch", "vizdoom", "pygame"]),
    ],
)
def test_imports_stay_light(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_names_every_option() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in VizDoomOptions.model_fields:
        assert f"`--vizdoom.{name.replace('_', '-')}`" in text


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "vizdoom"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs vizdoom --output {page}"


def test_a_file_of_ones_own_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("", encoding="utf-8")
    for given, kept in (("mine", str(tmp_path / "mine")), ("nowhere", "nowhere"), (None, None)):
        assert resolve_env("vizdoom", {"config": given}).options["config"] == kept
