"""Pools of EnvPool: made with one seed an environment, their spaces as the engine can use them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.spaces import leaves_of, replace_leaves

# what this plugin sets itself, and what a single-agent, synchronous pool has no use for
_OURS = ("num_envs", "batch_size", "num_threads", "seed", "env_seed", "base_path", "gym_reset_return_info", "max_num_players")
_LARGEST_SEED = (1 << 31) - 1


def import_envpool() -> ModuleType:
    """The package. Raises UserError where it is missing or cannot be loaded."""
    try:
        import envpool
    except ModuleNotFoundError as error:
        raise UserError(f"envpool: the package {error.name} is missing: pip install arl-plugin-envpool") from None
    except ImportError as error:  # a shared library that the wheel needs
        raise UserError(f"envpool is installed, but cannot be loaded: {error}. Install what it names") from error
    module: ModuleType = envpool
    return module


def pool_seed(seed: int) -> int:
    """A seed of any size as EnvPool takes it: 1 to 2^31 - 1. (ALE takes 0 for none.)"""
    return seed % _LARGEST_SEED + 1


def make_pool(
    task_id: str, seeds: Sequence[int], num_threads: int, arguments: Mapping[str, Any] | None = None, **ours: Any
) -> Any:
    """A synchronous pool of `len(seeds)` environments; environment i draws from `seeds[i]` alone.

    `arguments` are the user's, checked here: UserError for one that the id does not have. `ours` are passed on as they are.
    """
    envpool = import_envpool()
    given = dict(arguments or {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*precision lowered by casting", UserWarning)  # of bounds, in its own spaces
        try:
            config = envpool.make_spec(task_id).config._asdict()
            given = {name: _as_default(value, config.get(name)) for name, value in given.items()}
            _check_arguments(task_id, given, config)
            pool = envpool.make_gymnasium(
                task_id,
                num_envs=len(seeds),
                num_threads=num_threads,
                seed=[pool_seed(seed) for seed in seeds],
                **given,
                **ours,
            )
            _ = pool.observation_space, pool.action_space  # made on demand, with those warnings
        except UserError:
            raise
        except Exception as error:  # of any type: a library or a file is missing, and packages translate each other's errors
            what = " ".join(str(error).split())
            raise UserError(f"envpool: {task_id} cannot be made with {given or 'its defaults'}: {what}") from error
    if pool.config["max_num_players"] > 1:
        raise UserError(f"envpool: {task_id} has several players; arl steps ids of one")
    return pool


def forget_names() -> None:
    """Take away the names in /dev/shm that a pool of ViZDoom and its games have open: the kernel frees what has no name with
    the last process, and EnvPool leaves the names there."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        for name in set(re.findall(r"/dev/shm/ViZDoom\w+$", maps.read_text(encoding="utf-8"), re.MULTILINE)):
            Path(name).unlink(missing_ok=True)


def _as_default(value: Any, default: Any) -> Any:
    """A list as a tuple where the default is one: neither YAML nor JSON has tuples."""
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value


def _check_arguments(task_id: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """`config` are the id's options with their defaults."""
    known = [name for name in config if name not in _OURS]
    for name, value in given.items():
        if name in _OURS:
            raise UserError(f"envpool.arguments: '{name}' is set by arl; threads are --envpool.num-threads")
        if name not in known:
            hint = nearest(name, known) or f" It has: {', '.join(known)}"
            raise UserError(f"envpool.arguments: {task_id} has no option '{name}'.{hint}")
        default = config[name]
        wanted = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise UserError(
                f"envpool.arguments: {name} of {task_id} is {type(default).__name__}, such as {default!r}; got {value!r}"
            )


def observation_space(pool: Any) -> spaces.Space[Any]:
    """The space of one environment, with the bounds that it means: C++'s smallest positive double for "no lower bound"
    is minus infinity."""
    space = _as_space(pool.observation_space)
    changes = {key: (_widened(leaf), _same) for key, (_, leaf) in leaves_of(space).items() if isinstance(leaf, spaces.Box)}
    return replace_leaves(space, changes)[0]


def action_space(task_id: str, pool: Any) -> spaces.Space[Any]:
    """The space of one environment's actions, with the bounds that it means. Raises UserError where it has several parts."""
    space = _as_space(pool.action_space)
    if not isinstance(space, spaces.Discrete | spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UserError(f"envpool: {task_id} takes actions of several parts ({space}), which this plugin does not step")
    return _widened(space) if isinstance(space, spaces.Box) else space


def _as_space(space: Any) -> gymnasium.Space[Any]:
    """EnvPool describes nested observations by plain dictionaries of spaces in places."""
    if isinstance(space, Mapping):
        return spaces.Dict({key: _as_space(child) for key, child in space.items()})
    assert isinstance(space, gymnasium.Space)
    return space


def _same(value: Any) -> Any:
    return value


def _widened(box: spaces.Box) -> spaces.Box:
    dtype: np.dtype[Any] = np.dtype(box.dtype)
    if dtype.kind != "f":
        return box
    limits = np.finfo(np.float64)
    low = np.where(box.low == limits.tiny, -np.inf, box.low)
    high = np.where(box.high >= np.finfo(dtype).max, np.inf, box.high)
    return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)
