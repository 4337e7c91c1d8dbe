"""What the plugin tells about itself: names, defaults, errors, pages."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from arl_plugin_mujoco import plugin
from arl_plugin_mujoco.options import MujocoOptions
from arl_plugin_mujoco.tasks import prefixes

from arl_core.cli.main import main
from arl_core.config import RunConfig
from arl_core.interfaces import UserError, load_object
from arl_core.registry import resolve_env

HERE = Path(__file__).parents[1]
MUJOCO = "MuJoCo is not installed: pip install arl-plugin-mujoco"


@pytest.mark.parametrize(
    ("name", "gym_id"),
    [
        ("mujoco", "HalfCheetah-v5"),
        ("mujoco_halfcheetah", "HalfCheetah-v5"),
        ("mujoco:HalfCheetah-v4", "HalfCheetah-v4"),
        ("HalfCheetah-v4", "HalfCheetah-v4"),
        ("Ant-v5", "Ant-v5"),
        ("mujoco:halfcheetah", "HalfCheetah-v5"),
        ("mujoco_hopper-v4", "Hopper-v4"),
        ("mujoco_walker", "Walker2d-v5"),
        ("mujoco:Walker2d", "Walker2d-v5"),
        ("mujoco_doublependulum", "InvertedDoublePendulum-v5"),
        ("mujoco_standup", "HumanoidStandup-v5"),
    ],
)
def test_every_spelling_means_an_id(name: str, gym_id: str) -> None:
    assert resolve_env(name).kwargs["gym_id"] == gym_id


def test_unknown_robots_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="mujoco:HalfCheetah"):
        resolve_env("mujoco:HalfCheeta")
    with pytest.raises(UserError, match="mujoco:Pusher-v5"):
        resolve_env("mujoco:Pusher-v4")
    with pytest.raises(UserError, match="Did you mean 'Humanoid-v5'"):
        resolve_env("Humanoid-v3")


def test_the_metadata_lists_every_prefix() -> None:
    points = distribution("arl-plugin-mujoco").entry_points.select(group="arl.prefixes.v1")
    assert {point.name for point in points} == set(prefixes())


def test_every_id_of_gymnasium_is_a_variant() -> None:
    pytest.importorskip("mujoco", reason=MUJOCO)
    import gymnasium

    theirs = {
        spec.id: spec.max_episode_steps
        for spec in gymnasium.registry.values()
        if str(spec.entry_point).startswith("gymnasium.envs.mujoco.") and spec.id != "Pusher-v4"  # it needs mujoco < 3
    }
    (family,) = plugin.arl_environments()
    assert {spec.id: spec.kwargs["max_episode_steps"] for spec in family.variants} == theirs


def test_param_overrides_are_valid_configurations() -> None:
    (family,) = plugin.arl_environments()
    for spec in family.variants:
        overrides = plugin.arl_param_overrides(f"mujoco:{spec.id}", "appo")
        assert overrides
        assert RunConfig(**overrides).model_dump(include=set(overrides)) == dict(overrides)
        assert plugin.arl_param_overrides(f"mujoco:{spec.id}", "impala") is None
        assert callable(load_object(spec.maker))


@pytest.mark.parametrize("imported", ["arl_plugin_mujoco.plugin", "arl_plugin_mujoco.env"])
def test_imports_stay_light(imported: str) -> None:
    absent = ["torch", "mujoco"] + ["gymnasium", "pydantic"] * (imported == "arl_plugin_mujoco.plugin")
    code = f"import sys, {imported}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["mujoco", "imageio"])  # imageio is gymnasium's need, which no other extra brings
def test_a_missing_package_is_one_line_that_says_what_to_install(package: str, tmp_path: Path) -> None:
    # the interpreter's own way of saying that a package is not there
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.abc, sys\n"
        "class Without(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {package!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    code = "import arl_core\nfrom arl_core.interfaces import UserError\n"
    code += "try:\n    arl_core.make_env('mujoco')\nexcept UserError as error:\n    print(error)"  # what `arl run` shows
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
    )
    assert done.stdout.strip() == f"mujoco: the package {package} is missing: pip install arl-plugin-mujoco"


def test_the_readme_names_every_option() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    for name in MujocoOptions.model_fields:
        assert f"`--mujoco.{name.replace('_', '-')}`" in text


def test_the_readmes_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco", reason=MUJOCO)
    (program,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {})
    assert "0.002" in capsys.readouterr().out


def test_the_reference_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    page = HERE / "docs" / "reference.md"
    assert main(["plugins", "docs", "mujoco"]) == 0
    assert capsys.readouterr().out == page.read_text(encoding="utf-8"), f"run: arl plugins docs mujoco --output {page}"


def test_every_name_on_the_reference_page_can_be_given_as_it_stands() -> None:
    rows = re.findall(
        r"^\| `(mujoco:\S+)` \| (.*?) \|", (HERE / "docs" / "reference.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) == 21
    for name, others in rows:
        for other in re.findall(r"`(.+?)`", others):
            assert resolve_env(other) == resolve_env(name), other
