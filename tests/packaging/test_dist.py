"""What `make dist` builds is whole, equal each time, and works where nothing else of ours is."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_venvs import ROOT, build_dist

pytestmark = pytest.mark.slow

SOURCES = {"arl_core": ROOT / "arl_core"} | {
    folder.name: folder for folder in ROOT.glob("plugins/*/src/arl_plugin_*") if "." not in folder.name
}


def wheel_of(dist: Path, package: str) -> Path:
    (wheel,) = dist.glob(f"{package}-*.whl")
    return wheel


@pytest.mark.parametrize("package", SOURCES)
def test_a_wheel_holds_the_package_and_nothing_else(dist: Path, package: str) -> None:
    with zipfile.ZipFile(wheel_of(dist, package)) as wheel:
        names = [name for name in wheel.namelist() if not name.endswith("/")]
    source = SOURCES[package]
    kept = [path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {n for n in names if ".dist-info/" not in n} == {f"{package}/{path.relative_to(source)}" for path in kept}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert f"{package}/py.typed" in names


def test_building_again_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    build_dist(tmp_path)
    digests = [{w.name: hashlib.sha256(w.read_bytes()).hexdigest() for w in d.glob("*.whl")} for d in (dist, tmp_path)]
    assert digests[0] == digests[1]
    assert len(digests[0]) == len(SOURCES)


def test_the_maze_is_installed_from_wheels_trained_and_evaluated(make_venv: Callable[..., object], tmp_path: Path) -> None:
    venv = make_venv("arl-plugin-maze")
    where = venv.succeed(
        "python", "-c", "import arl_core, arl_plugin_maze as m; print(arl_core.__file__, m.__file__)", cwd=tmp_path
    )
    assert all(Path(file).is_relative_to(venv.site) for file in where.split())
    words = ["--env", "maze", "--experiment", "r", "--train-for-env-steps", "200_000", "--num-workers", "1"]
    venv.succeed("arl", "run", *words, cwd=tmp_path)
    played = json.loads(venv.succeed("arl", "eval", "train_dir/r", "--episodes", "5", "--json", cwd=tmp_path))
    assert (played["env"], played["episodes"]) == ("maze:sample-5x5", 5)
    listed = [line.split()[:2] for line in venv.succeed("arl", "plugins", "list", cwd=tmp_path).splitlines()]
    assert ["maze", "arl-plugin-maze"] in listed
