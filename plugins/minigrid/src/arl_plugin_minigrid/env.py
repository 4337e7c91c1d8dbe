"""One MiniGrid environment, as arl steps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import EnvContext, UserError
from arl_plugin_minigrid import mission
from arl_plugin_minigrid.game import make_game
from arl_plugin_minigrid.options import MiniGridOptions
from arl_plugin_minigrid.tiles import Tiles
from arl_plugin_minigrid.view import (
    EMPTY,
    NUM_COLOURS,
    NUM_OBJECTS,
    NUM_STATES,
    Eye,
    GridCodes,
    as_image,
    code,
    whole_image,
)

Observation = dict[str, Any]


def make(*, options: MiniGridOptions | None, context: EnvContext, gym_id: str) -> MiniGrid:
    """The `maker` of every variant. Raises UserError where a part of minigrid is missing."""
    return MiniGrid(gym_id, options or MiniGridOptions(), context)


class MiniGrid(gymnasium.Env[Observation, np.int64]):
    """minigrid's environment of an id with the observation that the options say.

    Observation: a Dict of `image`, `direction` and, where it says what is to be done, `mission`. The rest is minigrid's:
    reward 1 - 0.9 * steps / max_steps for success and 0 otherwise (-1 for a collision in Dynamic-Obstacles), seven actions.
    At the end `info` has `success` (0 or 1). Episode n of a seed is the same in every process.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, gym_id: str, options: MiniGridOptions, context: EnvContext) -> None:
        if context.render_mode not in (None, "rgb_array"):
            raise UserError(f"minigrid: no render mode '{context.render_mode}'; the choice is 'rgb_array' or none")
        self.game = make_game(gym_id, options)
        self.render_mode = self.game.render_mode = context.render_mode
        self._observer = _Observer(self.game, options, _mission_kind(gym_id, options))
        self.game.gen_obs = self._observer.observe
        self.observation_space = self._observer.space
        self.action_space = self.game.action_space
        self.np_random = np.random.default_rng(np.random.SeedSequence(context.run_seed, spawn_key=(context.index,)))
        self._before: NDArray[np.uint64] = rng_to_array(self.np_random)  # at the beginning of the episode
        self._actions: list[int] = []  # of the episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """A new level: the stream's next. `seed` restarts the stream."""
        super().reset(seed=seed, options=options)
        return self._begin()

    def _begin(self) -> tuple[Observation, dict[str, Any]]:
        self._before = rng_to_array(self.np_random)
        self._actions.clear()
        self.game.np_random = self.np_random
        observation, info = self.game.reset()
        return observation, info

    def step(self, action: int | np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One of minigrid's actions: left, right, forward, pick up, drop, toggle, done."""
        action = int(action)
        self._actions.append(action)
        observation, reward, terminated, truncated, info = self.game.step(action)
        if terminated or truncated:
            info = {**info, "success": float(terminated and reward > 0)}
        return observation, float(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """The whole grid, the agent's view highlighted, uint8 [height * 32, width * 32, 3]; None without a render mode."""
        return None if self.render_mode is None else self.game.render()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The random stream at the beginning of the episode and the actions since: playing them again leads here exactly."""
        return {"stream": self._before, "actions": np.array(self._actions, np.int8)}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state."""
        self.np_random = rng_from_array(state["stream"])
        self._begin()
        for action in state["actions"].tolist():
            self.step(action)

    def close(self) -> None:
        """Nothing to release: minigrid opens a window for people only."""


def _mission_kind(gym_id: str, options: MiniGridOptions) -> str:
    if options.mission != "auto":
        return options.mission
    return "words" if mission.is_told(gym_id) else "none"


class _Observer:
    """Takes the place of a game's `gen_obs`."""

    def __init__(self, game: Any, options: MiniGridOptions, mission_kind: str) -> None:
        self._game = game
        self._codes = GridCodes(game.width, game.height, options.view_size)
        self._eye = Eye(options.view_size, self._codes.stride, self._codes.margin, game.see_through_walls)
        self._tiles = Tiles(options.tile_size)
        kinds: dict[str, Callable[[], NDArray[Any]]] = {"view": self._view, "full": self._full, "pixels": self._pixels}
        self._image = kinds[options.observation]
        texts: dict[str, Callable[[str], NDArray[Any]]] = {"words": mission.bag, "tokens": mission.tokens}
        self._text = texts.get(mission_kind)
        self.space = _space(game, options, mission_kind)

    def observe(self) -> Observation:
        """The observation of the game as it stands."""
        observation = {"image": self._image(), "direction": self._game.agent_dir}
        if self._text is not None:
            observation["mission"] = self._text(self._game.mission)
        return observation

    def _seen(self) -> NDArray[np.uint8]:
        game = self._game
        codes = self._codes.update(game.grid.grid)
        carried = EMPTY if game.carrying is None else code(*game.carrying.encode())
        x, y = game.agent_pos
        return self._eye.look(codes, x, y, game.agent_dir, carried)

    def _view(self) -> NDArray[np.int8]:
        return as_image(self._seen())

    def _full(self) -> NDArray[np.int8]:
        self._codes.update(self._game.grid.grid)
        x, y = self._game.agent_pos
        return whole_image(self._codes, x, y, self._game.agent_dir)

    def _pixels(self) -> NDArray[np.uint8]:
        return self._tiles.picture(self._seen())


def _space(game: Any, options: MiniGridOptions, mission_kind: str) -> spaces.Dict:
    """view int8 [size, size, 3], full int8 [width, height, 3]: object, colour, state of each cell; pixels uint8 [size * tile,
    size * tile, 3]. Not uint8 for numbers that are no brightness: the core would divide them by 255."""
    size = options.view_size
    if options.observation == "pixels":
        side = size * options.tile_size
        image = spaces.Box(0, 255, (side, side, 3), np.uint8)
    else:
        cells = (size, size) if options.observation == "view" else (game.width, game.height)
        high = np.broadcast_to(np.array([NUM_OBJECTS, NUM_COLOURS, NUM_STATES], np.int8) - np.int8(1), (*cells, 3))
        image = spaces.Box(np.zeros_like(high), high, dtype=np.int8)
    parts: dict[str, spaces.Space[Any]] = {"image": image, "direction": spaces.Discrete(4)}
    if mission_kind == "words":
        parts["mission"] = spaces.MultiBinary(len(mission.VOCABULARY))
    elif mission_kind == "tokens":
        parts["mission"] = spaces.Box(0, mission.NUM_TOKENS - 1, (mission.MAX_WORDS,), np.int8)
    return spaces.Dict(parts)
