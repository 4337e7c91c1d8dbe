"""The hooks: what arl learns about EnvPool without importing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily

# as the family gym has it: benchmarks/LOG.md
_CARTPOLE = {
    "batch_size": 1024,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 4,
    "learning_rate": 1e-3,
    "reward_scale": 0.1,
    "exploration_loss_coeff": 0.0,
    "train_for_env_steps": 400_000,
}


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The open-ended family `envpool`."""
    return [
        EnvFamily(
            name="envpool",
            summary="any id of EnvPool, stepped in batches by C++ threads: envpool:CartPole-v1",
            options="arl_plugin_envpool.options:EnvPoolOptions",
            resolver="arl_plugin_envpool.ids:resolve",
            lister="arl_plugin_envpool.ids:list_ids",
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:
    """Wide groups, in which a pool is fast; for CartPole what solves it."""
    wide = {"num_envs_per_worker": 32}
    return wide | _CARTPOLE if env in ("envpool:CartPole-v0", "envpool:CartPole-v1") and algo == "appo" else wide
