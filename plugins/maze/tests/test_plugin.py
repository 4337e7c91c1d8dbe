"""The plugin as the core sees it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from arl_plugin_maze import plugin
from arl_plugin_maze.options import MazeOptions

import arl_core
from arl_core.interfaces import UserError

GYM_MAZE_IDS = [
    "maze-v0",
    *(f"maze-{kind}-{n}x{n}-v0" for kind in ("sample", "random") for n in (3, 5, 10, 100)),
    *(f"maze-random-{n}x{n}-plus-v0" for n in (10, 20, 30)),
]


@pytest.mark.parametrize("name", GYM_MAZE_IDS)
def test_gym_mazes_ids_are_known(name: str) -> None:
    maze_env = arl_core.make_env(name)
    size = 5 if name == "maze-v0" else int(name.split("x")[1].split("-")[0])
    assert maze_env.unwrapped.task.size == size
    assert maze_env.unwrapped.task.portals == (round(size / 3) if "plus" in name else 0)
    assert maze_env.unwrapped.task.kind == ("random" if "random" in name else "sample")


def test_short_spellings_and_options() -> None:
    assert arl_core.make_env("maze").unwrapped.task == arl_core.make_env("maze:sample-5x5").unwrapped.task
    grid = arl_core.make_env("maze:random-10x10-plus", observation="grid", new_maze_each_episode=True)
    assert grid.reset(seed=0)[0].shape == (9, 10, 10)
    with pytest.raises(UserError, match="random-10x10-plus"):
        arl_core.make_env("maze:random-10x10-pluss")


def test_every_variant_has_gym_mazes_id() -> None:
    (family,) = plugin.arl_environments()
    assert {family.aliases[name] for name in GYM_MAZE_IDS} == {spec.id for spec in family.variants}


@pytest.mark.parametrize("imported", ["arl_plugin_maze.env", "arl_plugin_maze.group"])
def test_environments_need_no_torch(imported: str) -> None:
    code = f"import sys, {imported}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_readmes_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = Path(__file__).parent.parent / "README.md"
    (program,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    seen: dict[str, Any] = {}
    exec(program, seen)
    assert (seen["terminated"], seen["reward"], seen["info"]["optimality"]) == (True, 1.0, 1.0)
    assert (tmp_path / "maze.png").stat().st_size > 1000


def test_the_readme_names_every_variant_and_option() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for name in MazeOptions.model_fields:
        assert f"`--maze.{name.replace('_', '-')}`" in text
    (family,) = plugin.arl_environments()
    for spec in family.variants:
        kind, _, size = spec.id.partition("-")
        assert f"maze:{kind}-" in text
        assert f"-{size}`" in text
