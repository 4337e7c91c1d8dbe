"""What is played: a game, its actions, and the options that all back ends share."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces

from arl_core.interfaces import FrameStacking, UserError
from arl_plugin_atari.options import AtariOptions

NOOP, FIRE = 0, 1  # ALE's numbers
_LARGEST_SEED = (1 << 31) - 1


@dataclass(frozen=True)
class AtariTask:
    """A game with every question answered."""

    game: str
    options: AtariOptions
    sticky: float
    actions: tuple[int, ...]  # ALE's numbers, in the order of the action space

    @property
    def observation_space(self) -> spaces.Box:
        """Grey images, uint8 [frame_stack, image_size, image_size], the newest last."""
        size = self.options.image_size
        return spaces.Box(0, 255, (self.options.frame_stack, size, size), np.uint8)

    @property
    def frame_stacks(self) -> dict[str, FrameStacking]:
        """Games begin with black frames, EnvPool's with copies of the first; a life goes on with those of the life before."""
        options = self.options
        if options.life_loss:
            return {}
        return {"obs": FrameStacking(options.frame_stack, 0, copies_first=options.backend == "envpool")}

    @property
    def action_space(self) -> spaces.Discrete:
        """The game's own actions, or all 18."""
        return spaces.Discrete(len(self.actions))

    @property
    def presses_fire(self) -> bool:
        """Whether a game begins with the fire button."""
        return self.options.fire_reset and FIRE in self.actions

    @property
    def new_life_action(self) -> int:
        """Index of the action that begins a life."""
        return self.actions.index(FIRE if self.presses_fire else NOOP)


def resolve_task(options: AtariOptions | None, game: str, sticky: float) -> AtariTask:
    """The task of a variant (`game`, `sticky`) with a user's options. Raises UserError where the game is not there."""
    chosen = options or AtariOptions()
    ale = load_game(game, random_seed=0, sticky=0.0)
    legal = ale.getLegalActionSet() if chosen.full_action_set else ale.getMinimalActionSet()
    sticky = sticky if chosen.sticky_actions is None else chosen.sticky_actions
    return AtariTask(game, chosen, sticky, tuple(int(action.value) for action in legal))


def import_ale() -> ModuleType:
    """The package ale_py. Raises UserError where it is missing."""
    try:
        import ale_py
    except ImportError as error:
        raise UserError(f"atari: ale-py cannot be imported ({error}): pip install arl-plugin-atari") from None
    module: ModuleType = ale_py
    return module


def load_game(game: str, *, random_seed: int, sticky: float) -> Any:
    """An `ale_py.ALEInterface` that has the game loaded."""
    ale_py = import_ale()
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    ale.setInt("random_seed", random_seed)
    ale.loadROM(rom_path(game))
    return ale


def rom_path(game: str) -> Any:
    """Where ale-py has the game."""
    from ale_py import roms

    path = roms.get_rom_path(game)
    if path is None:
        raise UserError(f"atari: the installed ale-py has no game '{game}': pip install -U ale-py")
    return path


def game_seed(seed: int) -> int:
    """A seed of any size as every back end takes it: 1 to 2^31 - 1."""
    return seed % _LARGEST_SEED + 1
