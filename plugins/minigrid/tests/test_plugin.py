"""The plugin as the core sees it."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from arl_plugin_minigrid import plugin
from arl_plugin_minigrid.ids import IDS
from arl_plugin_minigrid.options import MiniGridOptions

import arl_core
from arl_core.cli.main import main
from arl_core.config import RunConfig
from arl_core.interfaces import UserError, load_object
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]
MINIGRID = "minigrid is not installed: pip install arl-plugin-minigrid"


@pytest.mark.parametrize(
    "name", ["minigrid:doorkey-5x5", "minigrid:DoorKey-5x5", "MiniGrid-DoorKey-5x5-v0", "minigrid:MiniGrid-DoorKey-5x5-v0"]
)
def test_every_spelling_means_the_same_environment(name: str) -> None:
    assert resolve_env(name) == resolve_env("minigrid")
    assert resolve_env(name).kwargs == {"gym_id": "MiniGrid-DoorKey-5x5-v0"}


def test_every_id_of_minigrid_is_a_variant() -> None:
    (family,) = plugin.arl_environments()
    assert len({spec.id for spec in family.variants}) == len(IDS)
    for gym_id in IDS:
        assert resolve_env(gym_id).kwargs["gym_id"] == gym_id
    assert resolve_env("minigrid:babyai-gotolocal").kwargs["gym_id"] == "BabyAI-GoToLocal-v0"
    with pytest.raises(UserError, match="minigrid:DoorKey-5x5"):
        resolve_env("minigrid:DoorKey-5x4")


def test_the_newest_version_of_an_id_has_the_short_name() -> None:
    assert resolve_env("minigrid:MultiRoom-N4-S5").kwargs["gym_id"] == "MiniGrid-MultiRoom-N4-S5-v1"
    assert resolve_env("minigrid:MultiRoom-N4-S5-v0").kwargs["gym_id"] == "MiniGrid-MultiRoom-N4-S5-v0"
    assert resolve_env("minigrid:BabyAI-GoToObjS6").kwargs["gym_id"] == "BabyAI-GoToObjS6-v1"


def test_the_table_of_ids_is_fresh() -> None:
    pytest.importorskip("minigrid", reason=MINIGRID)
    sys.path.insert(0, str(HERE))
    try:
        import generate_ids
    finally:
        sys.path.remove(str(HERE))
        sys.modules.pop("generate_ids", None)  # other plugins have one of that name
    assert generate_ids.TABLE.read_text(encoding="utf-8") == generate_ids.table(), "run: python generate_ids.py"


def test_descriptions_name_code_that_exists() -> None:
    (family,) = plugin.arl_environments()
    names = {spec.maker for spec in family.variants} | {family.options} | {spec.maker for spec in plugin.arl_encoders()}
    assert all(callable(load_object(name)) for name in names)
    assert family.encoder in {spec.name for spec in plugin.arl_encoders()}
    assert all(json.loads(json.dumps(dict(spec.kwargs))) == spec.kwargs and spec.summary for spec in family.variants)


def test_param_overrides_are_valid_configurations() -> None:
    for variant in ("DoorKey-5x5", "MemoryS7", "BabyAI-GoToLocal"):
        overrides = plugin.arl_param_overrides(f"minigrid:{variant}", "appo")
        assert overrides
        assert RunConfig(**overrides).model_dump(include=set(overrides)) == dict(overrides)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("arl_plugin_minigrid.plugin", ["torch", "gymnasium", "pydantic", "minigrid", "pygame"]),
        ("arl_plugin_minigrid.env", ["torch", "minigrid", "pygame"]),
    ],
)
def test_imports_stay_light(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"view_size": 8}, "7 or 9"),
        ({"observation": "sound"}, "observation"),
        ({"observatoin": "full"}, "minigrid.observation"),
        ({"mission": "text"}, "mission"),
        ({"tile_size": 3}, "tile_size"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve_env("minigrid", options)


def test_generated_mazes_need_their_patterns() -> None:
    pytest.importorskip("minigrid", reason=MINIGRID)
    from minigrid.envs.wfc.config import WFC_PRESETS

    if find_spec("imageio") and WFC_PRESETS["MazeSimple"].pattern_path.exists():
        assert arl_core.make_env("minigrid:WFC-MazeSimple").reset()[0]["image"].shape == (7, 7, 3)
    else:
        with pytest.raises(UserError, match=r"minigrid\[wfc\]|came without .*SimpleMaze\.png"):
            arl_core.make_env("minigrid:WFC-MazeSimple")


def test_images_go_through_the_wrapper() -> None:
    for observation, wrappers in (("pixels", 1), ("view", 0), ("full", 0)):
        assert len(resolve_env("minigrid", {"observation": observation}).wrappers) == wrappers


def test_the_readme_names_every_option() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in MiniGridOptions.model_fields:
        assert f"`--minigrid.{name.replace('_', '-')}`" in text


def test_the_readmes_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minigrid", reason=MINIGRID)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})
    assert (tmp_path / "room.png").stat().st_size > 500


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "minigrid"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs minigrid --output {page}"
