"""The hooks: what arl learns about the games without importing ale-py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily, EnvSpec
from arl_plugin_atari.games import GAMES, aliases, id_name

_STICKY = 0.25  # Machado et al. 2018, and gymnasium's ids of version 5


def _variant(name: str, game: str, sticky: float, summary: str) -> EnvSpec:
    return EnvSpec(
        id=name,
        maker="arl_plugin_atari.env:make",
        vector_maker="arl_plugin_atari.group:make",
        kwargs={"game": game, "sticky": sticky},
        summary=summary,
    )


def _variants() -> Iterable[EnvSpec]:
    for game in GAMES:
        yield _variant(game, game, 0.0, game.replace("_", " "))
    for game in GAMES:
        yield _variant(f"{game}-v5", game, _STICKY, f"with sticky actions, as ALE/{id_name(game)}-v5")


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `atari`, under gymnasium's ids too."""
    return [
        EnvFamily(
            name="atari",
            summary="the Atari 2600 games of the Arcade Learning Environment",
            variants=tuple(_variants()),
            default_variant="pong",
            aliases=aliases(),
            options="arl_plugin_atari.options:AtariOptions",
            encoder="nature",
        )
    ]


_NETWORK = {"hidden_size": 512, "learning_rate": 2.5e-4, "adam_eps": 1e-5, "gamma": 0.99, "max_grad_norm": 0.5}
_PPO = {
    "num_envs_per_worker": 8,
    "rollout": 128,
    "batch_size": 256,
    "num_batches_per_iteration": 4,
    "ppo_epochs": 4,
    "with_vtrace": False,
    "gae_lambda": 0.95,
    "ppo_clip_ratio": 0.1,
    "exploration_loss_coeff": 0.01,
}
_USED_ONCE = {"num_envs_per_worker": 32, "rollout": 32, "batch_size": 512, "exploration_loss_coeff": 0.01}


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """The network of Mnih et al. 2015; PPO's settings for Atari (Schulman et al. 2017, table 5). Other algorithms see large
    batches once."""
    return {**_NETWORK, **(_PPO if algo == "appo" else _USED_ONCE), "train_for_env_steps": 10_000_000}
