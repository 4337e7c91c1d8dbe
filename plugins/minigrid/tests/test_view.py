"""The agent's view by look-up equals minigrid's own, step for step."""

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("minigrid", reason="minigrid is not installed: pip install arl-plugin-minigrid")

import gymnasium
from arl_plugin_minigrid.env import MiniGrid, make
from arl_plugin_minigrid.ids import IDS
from arl_plugin_minigrid.options import MiniGridOptions
from arl_plugin_minigrid.view import Eye, GridCodes, as_image, code
from hypothesis import given, settings
from hypothesis import strategies as st
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import FullyObsWrapper, RGBImgPartialObsWrapper, ViewSizeWrapper

from arl_core.interfaces import EnvContext

PLAYABLE = tuple(gym_id for gym_id in IDS if "WFC" not in gym_id)


def ours(gym_id: str, **options: Any) -> MiniGrid:
    return make(options=MiniGridOptions(**options), context=EnvContext(run_seed=1, index=0, seed=2), gym_id=gym_id)


def theirs(gym_id: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions of ids say so
        return gymnasium.make(gym_id, disable_env_checker=True).unwrapped


def assert_equal_games(mine: Any, reference: Any, steps: int, seed: int) -> None:
    """Play both with the same actions; images, directions, rewards and ends must be the same."""
    rng = np.random.default_rng(seed)
    seen, expected = mine.reset(seed=seed)[0], reference.reset(seed=seed)[0]
    assert mine.action_space == reference.action_space
    for _ in range(steps):
        np.testing.assert_array_equal(seen["image"], expected["image"])
        assert seen["direction"] == expected["direction"]
        # walk more than turn, and open what is there: random actions alone stay where they are
        action = int(rng.choice([0, 1, 2, 2, 2, 3, 4, 5]) if mine.action_space.n == 7 else rng.integers(3))
        seen, *results, _ = mine.step(action)
        expected, *wanted, _ = reference.step(action)
        assert results == wanted
        if wanted[1] or wanted[2]:
            seen, expected = mine.reset()[0], reference.reset()[0]


@pytest.mark.parametrize("start", range(0, len(PLAYABLE), 29))
def test_every_variant_is_minigrids_own(start: int) -> None:
    for gym_id in PLAYABLE[start : start + 29]:
        assert_equal_games(ours(gym_id), theirs(gym_id), 40, start)


@pytest.mark.parametrize("gym_id", ["MiniGrid-DoorKey-8x8-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0", "BabyAI-KeyInBox-v0"])
def test_long_games_too(gym_id: str) -> None:
    assert_equal_games(ours(gym_id), theirs(gym_id), 700, 1)


@pytest.mark.parametrize("gym_id", ["MiniGrid-DoorKey-6x6-v0", "MiniGrid-Fetch-8x8-N3-v0"])
def test_other_observations_are_minigrids_wrappers(gym_id: str) -> None:
    assert_equal_games(ours(gym_id, observation="full"), FullyObsWrapper(theirs(gym_id)), 80, 3)
    assert_equal_games(ours(gym_id, observation="pixels"), RGBImgPartialObsWrapper(theirs(gym_id)), 80, 4)
    assert_equal_games(ours(gym_id, view_size=5), ViewSizeWrapper(theirs(gym_id), 5), 80, 5)


class Room(MiniGridEnv):
    """Whatever cells a test wants."""

    def _gen_grid(self, width: int, height: int) -> None:
        raise AssertionError("the test makes the grid")


CELLS = [lambda: None, Wall, lambda: Door("red"), lambda: Door("blue", is_open=True), lambda: Door("green", is_locked=True)]
CELLS += [lambda: None, lambda: Key("yellow"), lambda: Ball("grey"), lambda: Box("purple"), Lava, Goal, lambda: Floor("blue")]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_grid_from_anywhere(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(3, 9)), data.draw(st.integers(3, 9))
    size = data.draw(st.sampled_from([3, 5, 7, 9, 11]))
    room = Room(MissionSpace(mission_func=lambda: ""), width=width, height=height, agent_view_size=size)
    room.see_through_walls = data.draw(st.booleans())
    codes = GridCodes(width, height, size)
    eye = Eye(size, codes.stride, codes.margin, room.see_through_walls)
    for _ in range(2):  # the second time, what has changed is found
        kinds = data.draw(st.lists(st.integers(0, len(CELLS) - 1), min_size=width * height, max_size=width * height))
        room.grid = Grid(width, height)
        room.grid.grid = [CELLS[kind]() for kind in kinds]
        room.agent_pos = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        room.agent_dir = data.draw(st.integers(0, 3))
        room.carrying = data.draw(st.sampled_from([None, Key("red")]))
        carried = code(1, 0, 0) if room.carrying is None else code(*room.carrying.encode())
        seen = eye.look(codes.update(room.grid.grid), *room.agent_pos, room.agent_dir, carried)
        np.testing.assert_array_equal(as_image(seen), room.gen_obs()["image"])


def test_a_door_that_opens_by_itself_is_seen() -> None:
    codes = GridCodes(3, 3, 3)
    door = Door("red")
    cells = [None] * 8 + [door]
    codes.update(cells)
    assert codes.inner[2, 2] == code(4, 0, 1)
    door.is_open = True
    codes.update(cells)
    assert codes.inner[2, 2] == code(4, 0, 0)
    cells[8] = None
    codes.update(cells)
    assert codes.inner[2, 2] == code(1, 0, 0)
