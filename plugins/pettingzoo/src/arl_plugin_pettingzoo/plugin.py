"""The hooks: what arl learns about PettingZoo without importing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `pettingzoo`, open-ended: whatever modules PettingZoo and mpe2 have."""
    return [
        EnvFamily(
            name="pettingzoo",
            summary="environments of several agents: pettingzoo:mpe/simple_spread_v3, pettingzoo:MODULE/NAME",
            default_variant="mpe/simple_spread_v3",
            options="arl_plugin_pettingzoo.options:PettingZooOptions",
            resolver="arl_plugin_pettingzoo.modules:resolve",
            lister="arl_plugin_pettingzoo.modules:listed",
            docs_url="https://pettingzoo.farama.org",
        )
    ]


_MPE = {
    "normalize_input": True,  # positions have no bounds
    "reward_scale": 0.1,
    "rollout": 25,  # an episode
    "batch_size": 800,
}
_PPO = {
    "num_batches_per_iteration": 6,
    "ppo_epochs": 8,
    "with_vtrace": False,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "learning_rate": 1e-3,
    "exploration_loss_coeff": 0.003,
    "train_for_env_steps": 1_500_000,
}


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:
    """Particle worlds: many passes over many short episodes, and a short horizon."""
    if not env.startswith("pettingzoo:mpe/"):
        return None
    return {**_MPE, **_PPO} if algo == "appo" else _MPE
