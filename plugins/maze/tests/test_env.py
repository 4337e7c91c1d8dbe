"""Options, gymnasium's own checks, observations and pictures."""

import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arl_plugin_maze import env
from arl_plugin_maze.generate import generate_maze
from arl_plugin_maze.maze import EAST, SOUTH
from arl_plugin_maze.observe import AGENT, AGENT_RGB, FLOOR_RGB, GOAL, GOAL_RGB, WALL_RGB, pixel_pitch
from arl_plugin_maze.options import MazeOptions
from arl_plugin_maze.render import AGENT as AGENT_COLOUR
from arl_plugin_maze.render import FLOOR, GOAL_MARK, WALL, render_maze
from arl_plugin_maze.solve import shortest_actions, shortest_path
from arl_plugin_maze.task import resolve_task
from gymnasium.utils.env_checker import check_env
from pydantic import ValidationError

from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.picture import write_png
from arl_core.interfaces import EnvContext, UserError
from arl_core.registry import make_env, resolve_env


def build(render_mode: str | None = None, *, kind: str = "random", size: int = 5, **options: Any) -> env.MazeEnv:
    context = EnvContext(run_seed=1, index=0, seed=2, render_mode=render_mode)
    return env.make(options=MazeOptions(**options), context=context, kind=kind, size=size)


@pytest.mark.parametrize("observation", ["position", "grid", "pixels"])
@pytest.mark.parametrize("new_maze", [False, True])
def test_gymnasium_accepts_the_environment(observation: str, new_maze: bool) -> None:
    maze_env = build("rgb_array", observation=observation, new_maze_each_episode=new_maze, portals=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(maze_env, skip_render_check=True)


def test_options_take_the_variants_values_unless_given() -> None:
    plus: dict[str, Any] = {"kind": "random", "size": 10, "loops": 0.2, "portals": 3}
    task = resolve_task(None, **plus)
    assert (task.size, task.loops, task.portals, task.max_steps) == (10, 0.2, 3, 10_000)
    task = resolve_task(MazeOptions(loops=0.0, portals=0, max_steps=7), **plus)
    assert (task.loops, task.portals, task.max_steps) == (0.0, 0, 7)
    assert resolve_task(None, kind="sample", size=5, max_steps=2_000).max_steps == 2_000
    assert resolve_task(MazeOptions(size=6), kind="sample", size=5, max_steps=2_000).max_steps == 3_600


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UserError, match="maze:random-5x5"):
        build(kind="sample", new_maze_each_episode=True)
    with pytest.raises(UserError, match="room for 3 pairs"):
        build(size=3, portals=4)
    with pytest.raises(UserError, match="rgb_array"):
        build("human")
    for wrong in ({"observation": "sound"}, {"sise": 4}, {"size": 1}, {"max_steps": 0}, {"loops": 1.5}):
        with pytest.raises(ValidationError):
            MazeOptions(**wrong)  # type: ignore[arg-type]


def test_a_grid_shows_sides_goal_agent_and_portals() -> None:
    maze_env = build(observation="grid", portals=2)
    maze_env.reset()
    seen, *_ = maze_env.step(shortest_actions(maze_env.maze)[0])
    x, y = maze_env.maze.position(maze_env._cell)
    assert seen.shape == (8, 5, 5)
    assert set(np.unique(seen)) == {0, 255}
    np.testing.assert_array_equal(seen[:4].reshape(4, -1).T == 255, maze_env.maze.passages)
    assert np.argwhere(seen[AGENT]).tolist() == [[y, x]]
    assert np.argwhere(seen[GOAL]).tolist() == [[4, 4]]
    for plane, ends in zip(seen[6:], maze_env.maze.portals, strict=True):
        assert np.flatnonzero(plane).tolist() == sorted(ends)


def test_pixels_show_walls_goal_and_agent() -> None:
    maze_env = build(observation="pixels")
    image = maze_env.reset()[0]
    pitch = pixel_pitch(5)
    middle = pitch // 2
    assert tuple(image[0, middle]) == WALL_RGB
    assert tuple(image[middle, middle]) == AGENT_RGB
    assert tuple(image[-2, -2]) == GOAL_RGB
    for cell, sides in enumerate(maze_env.maze.passages):
        x, y = maze_env.maze.position(cell)
        across, down = tuple(image[y * pitch + middle, (x + 1) * pitch]), tuple(image[(y + 1) * pitch, x * pitch + middle])
        assert across == (FLOOR_RGB if sides[EAST] else WALL_RGB)
        assert down == (FLOOR_RGB if sides[SOUTH] else WALL_RGB)


def test_a_picture_shows_walls_marks_and_the_trodden_path() -> None:
    maze_env = build("rgb_array", portals=2, loops=0.2)
    maze_env.reset()
    untrodden = maze_env.render()
    action = shortest_actions(maze_env.maze)[0]
    maze_env.step(action)
    picture = maze_env.render()
    assert picture is not None
    assert untrodden is not None
    pitch = 48
    centre = pitch // 2 + 3
    assert tuple(picture[0, 0]) == WALL
    assert tuple(picture[-centre, -centre]) == GOAL_MARK
    assert tuple(untrodden[centre, centre]) == AGENT_COLOUR
    assert tuple(picture[centre, centre]) != AGENT_COLOUR
    for cell, sides in enumerate(maze_env.maze.passages):
        x, y = maze_env.maze.position(cell)
        wall = tuple(picture[y * pitch + 15, (x + 1) * pitch + 2])
        assert wall == (FLOOR if sides[EAST] else WALL)


def test_the_path_is_blue_along_the_way_and_nowhere_else() -> None:
    maze = generate_maze(np.random.default_rng(3), 6)
    path = shortest_path(maze)
    bare, drawn = render_maze(maze, scale=24), render_maze(maze, path, scale=24)
    changed = (bare != drawn).any(axis=-1)
    for cell in range(maze.cells - 1):
        x, y = maze.position(cell)
        assert changed[y * 24 + 13, x * 24 + 13] == (cell in path)
    assert render_maze(maze, scale=10).shape == (61, 61, 3)


def test_a_path_breaks_at_a_portal() -> None:
    maze = generate_maze(np.random.default_rng(1), 10, loops=0.2, portals=3)
    cell = next(c for c in range(100) if maze.partner[c] != c and maze.passages[c].any())
    side = int(np.argmax(maze.passages[cell]))
    beside = cell + (-10, 10, 1, -1)[side]
    changed = (render_maze(maze, scale=24) != render_maze(maze, [beside, int(maze.partner[cell])], scale=24)).any(-1)
    rows, columns = np.nonzero(changed)
    assert rows.max() - rows.min() < 36  # one segment, from `beside` to the portal next to it
    assert columns.max() - columns.min() < 36


def test_a_png_holds_the_picture(tmp_path: Path) -> None:
    picture = render_maze(generate_maze(np.random.default_rng(3), 3), scale=8)
    write_png(tmp_path / "maze.png", picture)
    data = (tmp_path / "maze.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(data[16:20], "big") == picture.shape[1]
    start = data.index(b"IDAT")
    size = int.from_bytes(data[start - 4 : start], "big")
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + size]), np.uint8).reshape(picture.shape[0], -1)
    np.testing.assert_array_equal(rows[:, 1:].reshape(picture.shape), picture)


def test_a_run_sees_images_through_the_wrapper_and_nothing_else_does() -> None:
    images = resolve_env("maze", {"observation": "pixels"})
    assert [maker.rpartition(":")[2] for maker, _ in images.wrappers] == ["PixelFormatChw"]
    assert images.vector_maker is not None
    assert make_env("maze", observation="pixels").observation_space.shape == (3, 61, 61)
    assert build_group(images, make_contexts(0, 0, 2)).obs_specs["obs"].shape == (3, 61, 61)
    assert resolve_env("maze", {"observation": "grid"}).wrappers == ()
    assert resolve_env("maze", wrappers=[{"name": "reward-scale", "options": {"scale": 2.0}}]).vector_maker is not None
    assert resolve_env("maze", wrappers=[{"name": "frame-skip"}]).vector_maker is None
