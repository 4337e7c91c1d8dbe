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


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """Positions have no bounds, so they are normalised; an episode of 25 steps is one trajectory."""
    if env.startswith("pettingzoo:mpe/"):
        return {"normalize_input": True, "reward_scale": 0.1, "rollout": 25, "batch_size": 1000}
    return None
