"""minihack's own environment of an id, made with what the options say, without the work that nobody looks at."""

from __future__ import annotations

import random
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arl_core.interfaces import JSON, UserError
from arl_plugin_minihack.options import MiniHackOptions

# What NetHack fills in for an environment whose rewards and end are those of minihack's base class: what that reads, and
# "chars" for render_mode "ansi". The others, the screen's descriptions above all, cost half of a step.
_READ = ("glyphs", "chars", "blstats", "message", "program_state", "internal")
_PASSED_ON = ("reward_win", "reward_lose", "penalty_mode", "penalty_step", "penalty_time")
_NEVER = 1 << 62  # a time limit that is never met


def make_game(gym_id: str, options: MiniHackOptions) -> Any:
    """The `minihack.MiniHack` of an id. Its time limit is in `time_limit(game)`. Raises UserError where a package, a level
    or a file is missing."""
    _import_minihack()
    from gymnasium.envs.registration import load_env_creator, spec

    described = spec(gym_id)
    assert isinstance(described.entry_point, str)
    arguments = {**described.kwargs, **_arguments(gym_id, options)}
    if "Crossing" in gym_id:
        arguments["env_name"] = _of_its_own_size(arguments["env_name"])
    with _global_randomness(np.random.default_rng(0)):
        try:
            game: Any = load_env_creator(described.entry_point)(**arguments)
        except ModuleNotFoundError as error:  # a package for MultiRoom, levels for Boxoban
            raise UserError(f"minihack: {gym_id}: {error}") from None
    _check_rewards(gym_id, game, options)
    if options.des_file is not None and not (Path(game.nethack._vardir) / "lib" / "mylevel.lev").exists():
        game.close()
        raise UserError(f"minihack.des_file: {options.des_file} does not compile (lev_comp's message is above)")
    return game


def _of_its_own_size(rooms: str) -> Any:
    """What `gymnasium.make` takes for a crossing of minigrid's, whose name says how large it is: minihack asks for NetHack's
    width and height, which minigrid refuses beside that size."""
    try:
        import minigrid  # noqa: F401  # registers its ids
    except ModuleNotFoundError:
        return rooms  # minihack says what is missing
    from gymnasium.envs.registration import load_env_creator, spec

    described = spec(rooms)
    assert isinstance(described.entry_point, str)
    creator: Any = load_env_creator(described.entry_point)

    def create(*, width: int, height: int, **arguments: Any) -> Any:  # noqa: ARG001
        return creator(**arguments)

    entry: Any = create
    return replace(described, entry_point=entry)


def _check_rewards(gym_id: str, game: Any, options: MiniHackOptions) -> None:
    """Raise UserError for rewards that a game of events would not read; its penalties are as everywhere."""
    for name in ("reward_win", "reward_lose"):
        if game.reward_manager is not None and getattr(options, name) is not None:
            game.close()
            raise UserError(f"minihack.{name}: {gym_id} does not read it: its rewards are those of its events")


def _import_minihack() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        try:
            import minihack  # noqa: F401  # registers its ids
        except ModuleNotFoundError as error:
            if error.name == "pkg_resources":
                cure = "it imports pkg_resources, which setuptools 81 no longer has: pip install 'setuptools<81'"
                raise UserError(f"minihack cannot be imported: {cure}") from None
            if error.name in ("minihack", "nle"):
                raise UserError(f"minihack: the package {error.name} is missing: pip install arl-plugin-minihack") from None
            raise


def _arguments(gym_id: str, options: MiniHackOptions) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "observation_keys": (),  # they are made here, in `observe`
        "fix_moon_phase": True,  # NetHack's luck depends on the date otherwise
        "render_mode": None,
    }
    chosen: Mapping[str, JSON] = options.model_dump(include=set(_PASSED_ON), exclude_none=True)
    arguments |= chosen
    if options.max_episode_steps is not None:
        arguments["max_episode_steps"] = options.max_episode_steps
    if options.actions != "own":
        arguments["actions"] = _action_set(options.actions)
    if "-Custom-" in gym_id:
        arguments["des_file"] = _level(gym_id, options.des_file)
    elif options.des_file is not None:
        raise UserError(f"minihack.des_file: {gym_id} has its own level; use --env minihack:Navigation-Custom")
    return arguments


def _action_set(name: str) -> tuple[Any, ...]:
    from minihack.base import MH_FULL_ACTIONS
    from nle import nethack

    sets = {"cardinal": nethack.CompassCardinalDirection, "compass": nethack.CompassDirection, "full": MH_FULL_ACTIONS}
    return tuple(sets[name])


def _level(gym_id: str, path: str | None) -> str:
    if path is None:
        raise UserError(f"minihack: {gym_id} needs a level: --minihack.des-file my_level.des")
    if not path.endswith(".des") or not Path(path).is_file():
        raise UserError(f"minihack.des_file: {path} is not a .des file that exists")
    return str(Path(path).resolve())


def take_time_limit(game: Any) -> int:
    """The game's time limit, in steps, which it no longer applies itself.

    minihack would terminate (not truncate), and show the screen after quitting as the last observation.
    """
    limit = int(game._max_episode_steps)
    game._max_episode_steps = _NEVER
    return limit


def lighten(game: Any) -> Any:
    """A faster `game.step` where the variant uses nothing but minihack's base class; otherwise `game.step` itself.

    To be called before the first reset. NetHack stops filling in the observations that nobody reads, and the copy of
    the previous observation, which is for reward managers, is left out.
    """
    from minihack import MiniHack
    from nle.env.base import NLE

    kind = type(game)
    own = [getattr(kind, name) is getattr(MiniHack, name) for name in ("step", "_reward_fn", "_is_episode_end")]
    if game.reward_manager is not None or not all(own):
        return game.step
    nethack = game.nethack
    read = {key: buffer for key, buffer in nethack._obs_buffers.items() if key in _READ}
    nethack._pynethack.set_buffers(**read)
    nethack._obs = tuple(b if key in read else np.zeros(0, b.dtype) for key, b in nethack._obs_buffers.items())
    return partial(NLE.step, game)


def reset_game(game: Any, rng: np.random.Generator, level_seeds: list[int] | None) -> None:
    """Begin an episode: all of it, the level included, follows from `rng`, or from one of `level_seeds`."""
    from nle.env.base import NLE

    core, disp = (int(seed) for seed in rng.integers(0, 2**31, 2))
    if level_seeds is not None:
        core = disp = int(rng.choice(level_seeds))
    rooms = getattr(game, "minigrid_env", None)
    if rooms is not None:  # MultiRoom; its own `seed` is for an older minigrid
        rooms.reset(seed=core)
    NLE.seed(game, core, disp, reseed=False)
    with _global_randomness(np.random.default_rng(core)), _signals_kept():
        game.reset()


@contextmanager
def _global_randomness(rng: np.random.Generator) -> Iterator[None]:
    """Boxoban chooses levels by the global generator: seed it, and put back what others had."""
    before = random.getstate()
    random.seed(int(rng.integers(2**63)))
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """NetHack ignores SIGHUP and SIGXCPU from its start on: a process that has lost its terminal would not end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGXCPU)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
