"""The hooks: what arl learns about NASim without importing torch, nasim or the environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import JSON, EnvFamily, EnvSpec

# NASim's benchmarks: hosts, and what they look like. A test compares the list with nasim's own.
_FIXED = {
    "tiny": "3 hosts in 3 subnets, one exploit",
    "tiny-hard": "3 hosts in 3 subnets, three exploits",
    "tiny-small": "5 hosts in 4 subnets",
    "small": "8 hosts in 4 subnets",
    "small-honeypot": "8 hosts in 4 subnets, one of which costs 100 to take over",
    "small-linear": "8 hosts in 6 subnets in a row",
    "medium": "16 hosts in 5 subnets",
    "medium-single-site": "16 hosts in one subnet",
    "medium-multi-site": "16 hosts in 6 subnets",
}
_GENERATED = {
    "tiny-gen": "3 hosts, generated",
    "tiny-gen-rgoal": "3 hosts, generated, a random one sensitive",
    "small-gen": "8 hosts, generated",
    "small-gen-rgoal": "8 hosts, generated, a random one sensitive",
    "medium-gen": "16 hosts, generated",
    "large-gen": "23 hosts, generated",
    "huge-gen": "38 hosts, generated",
    "pocp-1-gen": "35 hosts, 50 services, 60 exploits, generated",
    "pocp-2-gen": "95 hosts, 10 services, 30 exploits, generated",
}


def _variant(name: str, summary: str, **kwargs: JSON) -> EnvSpec:
    return EnvSpec(
        id=name,
        maker="arl_plugin_nasim.env:make",
        vector_maker="arl_plugin_nasim.group:make",
        kwargs=kwargs,
        summary=summary,
    )


def _variants() -> tuple[EnvSpec, ...]:
    benchmarks = [_variant(name, summary, benchmark=name) for name, summary in {**_FIXED, **_GENERATED}.items()]
    own: dict[str, JSON] = {"num_hosts": 8, "num_services": 3, "step_limit": 1000, "r_sensitive": 100, "r_user": 100}
    generated = _variant("generated", "as --nasim.num-hosts, --nasim.num-services, ... say", generator=own)
    return (*benchmarks, generated, _variant("custom", "a network of your own: --nasim.scenario FILE"))


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `nasim`."""
    variants = _variants()
    return [
        EnvFamily(
            name="nasim",
            summary="take over a computer network (NASim)",
            variants=variants,
            default_variant="tiny",
            aliases={f"nasim_{spec.id.replace('-', '_')}": spec.id for spec in variants},
            options="arl_plugin_nasim.options:NASimOptions",
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """For values of about 100 at the end of an attack, and for costs of 1."""
    return {"num_envs_per_worker": 64, "reward_scale": 0.01}
