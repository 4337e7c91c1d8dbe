"""ViZDoom as a `gymnasium.Env`: screen, game variables, buttons, episodes that follow from a seed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.interfaces import EnvContext, UserError
from arl_plugin_vizdoom.game import open_game
from arl_plugin_vizdoom.options import VizDoomOptions


def make(*, options: VizDoomOptions | None, context: EnvContext, scenario: str | None = None) -> VizDoomEnv:
    """The `maker` of every variant. Raises UserError where the package or the scenario is missing."""
    return VizDoomEnv(scenario, options or VizDoomOptions(), context)


class VizDoomEnv(gymnasium.Env[Any, Any]):
    """A scenario of ViZDoom, `frame_skip` tics a step.

    Observation: the screen, uint8 [height, width, 3 or 1]; with game variables a Dict of it, `screen`, and `game_variables`,
    float32 [n]. Actions: nothing, or one button; or any buttons at once. Truncates at the scenario's timeout, terminates
    where the game ends before. ViZDoom shows no screen of a finished episode: the last observation is the one before.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 9}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, scenario: str | None, options: VizDoomOptions, context: EnvContext) -> None:
        if context.render_mode not in (None, "rgb_array"):
            raise UserError(f"vizdoom: no render mode '{context.render_mode}'; the choice is 'rgb_array' or none")
        self.options = options
        self.render_mode = context.render_mode
        self.np_random = np.random.default_rng(np.random.SeedSequence(context.run_seed, spawn_key=(context.index,)))
        self.game = open_game(scenario, options, context.seed)
        self._open = True
        buttons = self.game.get_available_buttons_size()
        self._presses = np.vstack([np.zeros(buttons, int), np.eye(buttons, dtype=int)]).tolist()
        single = options.actions == "single"
        self.action_space = spaces.Discrete(buttons + 1) if single else spaces.MultiBinary(buttons)
        self.observation_space = self._space()
        self._screen = np.zeros(self._screen_shape(), np.uint8)
        self._variables = np.zeros(self.game.get_available_game_variables_size(), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new episode: the stream's next. `seed` restarts the stream."""
        super().reset(seed=seed, options=options)
        self.game.set_seed(int(self.np_random.integers(2**31)))
        self.game.new_episode()
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Hold the action's buttons for `frame_skip` tics; their rewards are summed."""
        pressed = self._presses[int(action)] if self.options.actions == "single" else np.asarray(action, int).tolist()
        reward = float(self.game.make_action(pressed, self.options.frame_skip))
        finished = self.game.is_episode_finished()
        late = finished and self.game.is_episode_timeout_reached() and not self.game.is_player_dead()
        return self._observation(), reward, finished and not late, late, {}

    def render(self) -> Any:
        """The screen in colour, uint8 [height, width, 3]; None without a render mode."""
        return None if self.render_mode is None else np.repeat(self._screen, 3 // self._screen.shape[2], axis=2)

    def close(self) -> None:
        """End the game's process. Idempotent."""
        if self._open:
            self._open = False
            self.game.close()

    def _screen_shape(self) -> tuple[int, int, int]:
        return self.game.get_screen_height(), self.game.get_screen_width(), 1 if self.options.grayscale else 3

    def _space(self) -> spaces.Space[Any]:
        screen = spaces.Box(0, 255, self._screen_shape(), np.uint8)
        if not self.options.game_variables:
            return screen
        count = self.game.get_available_game_variables_size()
        if not count:
            raise UserError("vizdoom.game_variables: the scenario has none")
        return spaces.Dict({"screen": screen, "game_variables": spaces.Box(-np.inf, np.inf, (count,), np.float32)})

    def _observation(self) -> Any:
        state = self.game.get_state()
        if state is not None:
            self._screen = np.array(state.screen_buffer).reshape(self._screen_shape())
            if self.options.game_variables:
                self._variables = np.array(state.game_variables, np.float32)
        screen: NDArray[np.uint8] = self._screen.copy()
        return {"screen": screen, "game_variables": self._variables.copy()} if self.options.game_variables else screen
