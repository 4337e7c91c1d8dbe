"""MiniHack as a `gymnasium.Env`: minihack's game, with observations, seeds and endings as arl wants them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import EnvContext, UserError
from arl_plugin_minihack.game import lighten, make_game, reset_game, take_time_limit
from arl_plugin_minihack.observe import FULL_TILE, cropped, drawn, observation_space, tile_size
from arl_plugin_minihack.options import MiniHackOptions

_TRODDEN_RGB = (230, 60, 60)
_RENDER_MODES = ("rgb_array", "ansi")


def make(*, options: MiniHackOptions | None, context: EnvContext, gym_id: str) -> MiniHackEnv:
    """The `maker` of every variant. Raises UserError where a package, a level or a file is missing."""
    return MiniHackEnv(gym_id, options or MiniHackOptions(), context)


class MiniHackEnv(gymnasium.Env[Any, np.int64]):
    """One game after the other, each of its own level.

    Reward: minihack's (for most variants 1 at the goal, -0.01 for a step in which no game time passes). Terminates at the
    goal and at death, truncates at the time limit; the last observation is that before the game is left. At the end `info`
    holds `success` and `death` (0 or 1). Episode n of a seed is the same in every process.
    """

    metadata = {"render_modes": list(_RENDER_MODES), "render_fps": 5}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, gym_id: str, options: MiniHackOptions, context: EnvContext) -> None:
        if context.render_mode not in (None, *_RENDER_MODES):
            raise UserError(f"minihack: no render mode '{context.render_mode}'; the choice is 'rgb_array', 'ansi' or none")
        self.game = make_game(gym_id, options)
        self.options = options
        self.render_mode = context.render_mode
        self.max_episode_steps = take_time_limit(self.game)
        self.observation_space = observation_space(options)
        self.action_space = self.game.action_space
        self.np_random = np.random.default_rng(np.random.SeedSequence(context.run_seed, spawn_key=(context.index,)))
        self._advance = lighten(self.game)
        self._quit = self.game._quit_game
        self.game._quit_game = self._leave
        self._steps = 0
        self._trodden: list[tuple[int, int]] = []  # (x, y), kept for rendering only
        self._last: Any = None  # the final observation, once the game was left
        self._screen: dict[str, NDArray[Any]] = {}  # what is rendered: NetHack's own memory, or its copy at the end

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new game: the stream's next. `seed` restarts the stream."""
        super().reset(seed=seed, options=options)
        reset_game(self.game, self.np_random, self.options.level_seeds)
        buffers = self.game.nethack._obs_buffers
        self._screen = {key: buffers[key] for key in ("glyphs", "chars", "blstats")}
        self._last = None
        self._steps = 0
        self._trodden.clear()
        self._note_path()
        return self._observation(), {}

    def step(self, action: int | np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action, of `game.actions`."""
        _, reward, terminated, _, info = self._advance(int(action))
        self._steps += 1
        truncated = not terminated and self._steps >= self.max_episode_steps
        if truncated:
            if self.game.reward_manager is None:  # as minihack has it
                reward += self.game.reward_lose
            self.game._quit_game(self.game.last_observation, False)
        self._note_path()
        observation = self._observation() if self._last is None else self._last
        if not (terminated or truncated):
            return observation, reward, False, False, {}
        status = self.game.StepStatus
        ended = status.RUNNING if truncated else info["end_status"]
        metrics = {"success": float(ended == status.TASK_SUCCESSFUL), "death": float(ended == status.DEATH)}
        return observation, reward, bool(terminated), truncated, metrics

    def render(self) -> Any:
        """rgb_array: the map with the path trodden in this episode, uint8 [336, 1264, 3]; ansi: the map as text."""
        if self.render_mode == "ansi":
            return "\n".join(line.tobytes().decode("latin-1") for line in self._screen["chars"])
        if self.render_mode is None:
            return None
        picture = drawn(self._screen["glyphs"], FULL_TILE)
        inset = FULL_TILE // 2 - 2
        for x, y in self._trodden:
            top, left = y * FULL_TILE + inset, x * FULL_TILE + inset
            picture[top : top + 4, left : left + 4] = _TRODDEN_RGB
        return picture

    def close(self) -> None:
        """End the game and free its memory."""
        self.game.close()

    def _leave(self, observation: Any, done: bool) -> None:
        """Quit the game, which clears the screen, and keep what was seen before."""
        self._note_path()
        self._last = self._observation()
        self._screen = {key: value.copy() for key, value in self._screen.items()}
        self._quit(observation, done)

    def _note_path(self) -> None:
        if self.render_mode is not None and self._last is None:
            x, y = self._screen["blstats"][:2]
            self._trodden.append((int(x), int(y)))

    def _observation(self) -> Any:
        """In arrays of its own: NetHack writes the next step over the last."""
        kind = self.options.observation
        glyphs, blstats = self._screen["glyphs"], self._screen["blstats"]
        if kind == "pixel":
            return drawn(glyphs, tile_size(self.options))
        crop = cropped(glyphs, int(blstats[0]), int(blstats[1]), self.options.crop_size)
        if kind == "pixel_crop":
            return drawn(crop, tile_size(self.options))
        parts = {"glyphs_crop": crop, "blstats": blstats.copy()}
        return parts if kind == "crop" else {"glyphs": glyphs.copy(), **parts}
