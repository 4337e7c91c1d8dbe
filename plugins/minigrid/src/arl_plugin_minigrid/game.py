"""minigrid's own environment of an id, made as the options say."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from arl_core.interfaces import UserError
from arl_plugin_minigrid.options import MiniGridOptions


def make_game(gym_id: str, options: MiniGridOptions) -> Any:
    """The `minigrid.minigrid_env.MiniGridEnv` of an id. Raises UserError where something of it is not installed."""
    try:
        import minigrid  # noqa: F401  # registers its ids
    except ModuleNotFoundError as error:
        if error.name != "minigrid":
            raise
        raise UserError("minigrid: the package minigrid is missing: pip install arl-plugin-minigrid") from None
    from gymnasium.envs.registration import load_env_creator, registry

    if gym_id not in registry:
        raise UserError(f"minigrid: the installed minigrid does not have {gym_id}: pip install -U minigrid")
    described = registry[gym_id]
    assert isinstance(described.entry_point, str)
    try:
        game: Any = load_env_creator(described.entry_point)(**described.kwargs)
        _check_patterns(game)
    except ModuleNotFoundError as error:
        raise UserError(f"minigrid: {gym_id}: {error}: pip install 'minigrid[wfc]'") from None
    game.agent_view_size = options.view_size
    if options.max_steps is not None:
        game.max_steps = options.max_steps
        game.fixed_max_steps = True  # BabyAI would set it anew at each reset
    _silence()
    return game


def _check_patterns(game: Any) -> None:
    """The generated mazes (WFC) are made after a picture, which some wheels of minigrid lack; it is read at each reset."""
    pattern: Path | None = getattr(getattr(game, "config", None), "pattern_path", None)
    if pattern is None:
        return
    import_module("imageio")
    if not pattern.exists():
        raise UserError(f"minigrid: the installed minigrid came without {pattern}: copy it from minigrid's repository")


def _silence() -> None:
    """BabyAI prints each level that it draws and rejects; a worker's output is for what a user should see."""
    from minigrid.envs.babyai.core import roomgrid_level

    vars(roomgrid_level)["print"] = lambda *_, **__: None
