"""The simulator: a process of its own for each game, of which nothing may outlive us, kill -9 included.

ViZDoom writes a settings file and a folder where it starts, and opens shared memory and message queues by names in
/dev/shm. Once both sides have them open, the names are taken away, so the kernel frees them with the last process. The game
is started through a line of Python that asks the kernel to kill it with its parent (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from arl_core.interfaces import UserError
from arl_plugin_vizdoom.options import VizDoomOptions

_SHARED_MEMORY = Path("/dev/shm")
_KILLED_WITH_PARENT = (  # 1: PR_SET_PDEATHSIG, 9: SIGKILL; the parent may have died before
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.getppid() == int(sys.argv[1]) or sys.exit(); "
    "os.chdir(sys.argv[2]); os.execv(sys.argv[3], sys.argv[3:])"
)


def open_game(scenario: str | None, options: VizDoomOptions, seed: int) -> Any:
    """A running `vizdoom.DoomGame`, headless. Raises UserError where the package or the scenario is missing."""
    try:
        import vizdoom
    except ModuleNotFoundError as error:
        if error.name != "vizdoom":
            raise
        raise UserError("vizdoom: the package vizdoom is missing: pip install arl-plugin-vizdoom") from None
    game = vizdoom.DoomGame()
    path = _config_path(vizdoom, scenario, options)
    try:
        if not game.load_config(path):
            raise UserError(f"vizdoom: {path} is no scenario: see the lines above")
        _configure(vizdoom, game, options)
        game.set_seed(seed)
        _start(game, Path(vizdoom.__file__).with_name("vizdoom"))
    except vizdoom.FileDoesNotExistException as error:  # the levels or the game that the scenario names
        raise UserError(f"vizdoom: {path} is no scenario: {error}") from None
    return game


def _config_path(vizdoom: Any, scenario: str | None, options: VizDoomOptions) -> str:
    if scenario is not None:
        if options.config is not None:
            raise UserError(f"vizdoom.config: {scenario} has its own scenario; use --env vizdoom:custom")
        return str(Path(vizdoom.scenarios_path) / f"{scenario}.cfg")
    if options.config is None:
        raise UserError("vizdoom: the variant custom needs a scenario: --vizdoom.config my_scenario.cfg")
    if not Path(options.config).is_file():
        raise UserError(f"vizdoom.config: there is no file {options.config}")
    return str(Path(options.config).resolve())


def _configure(vizdoom: Any, game: Any, options: VizDoomOptions) -> None:
    game.set_window_visible(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_sound_enabled(False)
    for unread in ("audio", "depth", "labels", "automap", "notifications"):
        getattr(game, f"set_{unread}_buffer_enabled")(False)
    game.set_screen_format(vizdoom.ScreenFormat.GRAY8 if options.grayscale else vizdoom.ScreenFormat.RGB24)
    game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{options.resolution.upper()}"))
    game.set_render_hud(options.hud)
    if options.skill is not None:
        game.set_doom_skill(options.skill)
    if options.episode_timeout is not None:
        game.set_episode_timeout(options.episode_timeout)
    buttons = [button for button in game.get_available_buttons() if vizdoom.is_binary_button(button)]
    if not buttons:
        raise UserError("vizdoom: the scenario has no buttons that are pressed or not")
    game.set_available_buttons(buttons)


def _start(game: Any, executable: Path) -> None:
    """Start the game from a folder that is gone a moment later."""
    folder = Path(tempfile.mkdtemp(prefix="arl-vizdoom-"))
    try:
        game.set_doom_config_path(os.devnull)  # settings that it would write when it ends
        if sys.platform == "linux":
            began = [str(os.getpid()), str(folder), str(executable)]
            command = [sys.executable, "-I", "-S", "-c", _KILLED_WITH_PARENT, *began]
            starter = folder / "vizdoom"
            starter.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
            starter.chmod(0o700)
            game.set_vizdoom_path(str(starter))
        game.init()
        for kind in ("SM", "MQDoom", "MQCtr"):
            with contextlib.suppress(FileNotFoundError):  # elsewhere than on Linux they are not there
                (_SHARED_MEMORY / f"ViZDoom{kind}{game.get_instance_id()}").unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
