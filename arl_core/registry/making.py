"""An environment for a script or a notebook, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext
from arl_core.registry.resolve import resolve_env

if TYPE_CHECKING:
    import gymnasium


def make_env(env: Any, *, seed: int = 0, render_mode: str | None = None, **options: Any) -> gymnasium.Env[Any, Any]:
    """Build the environment that a run with `env` (a name, a class, a callable) and `options` would train on.

    It has been reset with `seed`, so a plain `reset()` continues that stream. Raises UserError as `resolve_env`.
    """
    built = build_env(resolve_env(env, options), EnvContext(run_seed=seed, index=0, seed=seed, render_mode=render_mode))
    built.reset(seed=seed)
    return built
