"""The plugin as the core sees it: most of it without NetHack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arl_plugin_minihack import plugin
from arl_plugin_minihack.ids import IDS
from arl_plugin_minihack.options import MiniHackOptions

import arl_core
from arl_core.cli.main import main
from arl_core.config import RunConfig
from arl_core.interfaces import UserError, load_object
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]
NETHACK = "NetHack is not installed: pip install arl-plugin-minihack"


@pytest.mark.parametrize("name", ["minihack:River", "minihack:MiniHack-River-v0", "MiniHack-River-v0"])
def test_every_spelling_means_the_same_environment(name: str) -> None:
    assert resolve_env(name) == resolve_env("minihack:River")
    assert resolve_env(name).kwargs == {"gym_id": "MiniHack-River-v0"}


def test_every_id_of_minihack_is_a_variant() -> None:
    (family,) = plugin.arl_environments()
    assert len({spec.id for spec in family.variants}) == len(IDS)
    for gym_id in IDS:
        assert resolve_env(gym_id).kwargs["gym_id"] == gym_id
    assert resolve_env("minihack").id == "minihack:Room-5x5"
    assert resolve_env("MiniHack-Sokoban1a-v1").id == "minihack:Sokoban1a"
    with pytest.raises(UserError, match="minihack:Room-5x5"):
        resolve_env("minihack:Room-5x6")


def test_the_table_of_ids_is_fresh() -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    sys.path.insert(0, str(HERE))
    try:
        import generate_ids
    finally:
        sys.path.remove(str(HERE))
    assert generate_ids.TABLE.read_text(encoding="utf-8") == generate_ids.table(), "run: python generate_ids.py"


def test_descriptions_name_code_that_exists() -> None:
    (family,) = plugin.arl_environments()
    names = {spec.maker for spec in family.variants} | {family.options} | {spec.maker for spec in plugin.arl_encoders()}
    assert all(callable(load_object(name)) for name in names)
    assert family.encoder in {spec.name for spec in plugin.arl_encoders()}
    assert all(json.loads(json.dumps(dict(spec.kwargs))) == spec.kwargs and spec.summary for spec in family.variants)


def test_param_overrides_are_valid_configurations() -> None:
    for variant in ("Room-5x5", "Quest-Hard"):
        overrides = plugin.arl_param_overrides(f"minihack:{variant}", "appo")
        assert overrides
        assert RunConfig(**overrides).model_dump(include=set(overrides)) == dict(overrides)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("arl_plugin_minihack.plugin", ["torch", "gymnasium", "pydantic", "minihack", "nle"]),
        ("arl_plugin_minihack.env", ["torch", "minihack", "nle"]),
    ],
)
def test_imports_stay_light(imported: str, absent: list[str]) -> None:
    code = f"import sys, {imported}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "told"), [("pkg_resources", "pip install 'setuptools<81'"), ("nle", "pip install arl-plugin-minihack")]
)
def test_a_missing_package_is_one_line_that_says_what_to_install(package: str, told: str, tmp_path: Path) -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    # the interpreter's own way of saying that a package is not there
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.abc, sys\n"
        "class Without(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "arl_core", "run", "--env", "minihack", "--train-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"crop_size": 8}, "7 or 9"),
        ({"observation": "sound"}, "observation"),
        ({"observatoin": "crop"}, "minihack.observation"),
        ({"tile_size": 3}, "tile_size"),
        ({"level_seeds": []}, "level_seeds"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve_env("minihack", options)


def test_levels_of_ones_own_must_be_there() -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    with pytest.raises(UserError, match=r"needs a level: --minihack\.des-file"):
        arl_core.make_env("minihack:Navigation-Custom")
    with pytest.raises(UserError, match=r"not a \.des file that exists"):
        arl_core.make_env("minihack:Navigation-Custom", des_file="nowhere.des")
    with pytest.raises(UserError, match="has its own level"):
        arl_core.make_env("minihack:River", des_file="nowhere.des")


@pytest.mark.parametrize("name", ["LavaCrossingS9N1", "LavaCrossingS19N13", "SimpleCrossingS11N5"])
def test_crossings_have_the_size_that_their_names_say(name: str) -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    pytest.importorskip("minigrid", reason="minigrid is not installed: pip install 'arl-plugin-minihack[multiroom]'")
    env = arl_core.make_env(f"minihack:{name}", seed=1)
    env.reset()
    grid = env.unwrapped.game.minigrid_env.unwrapped.grid
    assert f"S{grid.width}N" in name
    assert grid.width == grid.height
    assert np.isfinite(env.step(0)[1])
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("gym_id", [i for i in IDS if "Boxoban" not in i and "-Custom-" not in i])
def test_every_id_is_built_and_steps(gym_id: str) -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    pytest.importorskip("minigrid", reason="minigrid is not installed: pip install 'arl-plugin-minihack[multiroom]'")
    env = arl_core.make_env(gym_id, seed=1)
    assert env.observation_space.contains(env.reset()[0])
    observation, reward, *_ = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert np.isfinite(reward)
    env.close()


@pytest.mark.parametrize("name", ["reward_win", "reward_lose"])
def test_games_of_events_refuse_rewards_that_they_do_not_read(name: str) -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    with pytest.raises(UserError, match=rf"minihack\.{name}: MiniHack-Eat-Fixed-v0 does not read it"):
        arl_core.make_env("minihack:Eat-Fixed", **{name: 2.0})
    arl_core.make_env("minihack:Eat-Fixed", penalty_step=-0.5).close()


def test_images_go_through_the_wrapper() -> None:
    for observation, wrappers in (("pixel", 1), ("pixel_crop", 1), ("glyphs", 0), ("crop", 0)):
        assert len(resolve_env("minihack", {"observation": observation}).wrappers) == wrappers


def test_the_readme_names_every_option() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in MiniHackOptions.model_fields:
        assert f"`--minihack.{name.replace('_', '-')}`" in text


def test_the_readmes_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minihack", reason=NETHACK)
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})
    assert (tmp_path / "room.png").stat().st_size > 1000


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "minihack"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs minihack --output {page}"


def test_a_file_of_ones_own_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("", encoding="utf-8")
    for given, kept in (("mine", str(tmp_path / "mine")), ("nowhere", "nowhere"), (None, None)):
        assert resolve_env("minihack", {"des_file": given}).options["des_file"] == kept
