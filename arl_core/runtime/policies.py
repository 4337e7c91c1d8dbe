"""Which policy plays which agent, as the configuration says it."""

from __future__ import annotations

from collections.abc import Sequence

from arl_core.config import RunConfig
from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.sampling.casting import CastingSpec


def policies_of(cfg: RunConfig, agents: Sequence[str]) -> tuple[int, ...]:
    """The policy of each agent (of the one row, where `agents` is empty). Raises UserError for a name that no agent has."""
    for name in cfg.agent_policies:
        if name not in agents:
            known = ", ".join(agents) or "it has one agent without a name"
            raise UserError(f"agent_policies: '{cfg.env}' has no agent '{name}'.{nearest(name, agents)} ({known})")
    return tuple(cfg.agent_policies.get(name, i % cfg.num_policies) for i, name in enumerate(agents or ("",)))


def casting_of(cfg: RunConfig, agents: Sequence[str]) -> CastingSpec | None:
    """How roles are given in training; None where one policy plays every row. Raises UserError."""
    policies, random = policies_of(cfg, agents), cfg.policy_assignment == "random"
    snapshots = cfg.self_play_snapshots if cfg.self_play_fraction > 0 else 0
    if snapshots and len(agents) < 2:
        raise UserError(f"self_play_fraction: '{cfg.env}' has one agent, so there is nobody to play against")
    idle = sorted(set(range(cfg.num_policies)) - set(policies))
    if idle and not random:
        raise UserError(
            f"num_policies is {cfg.num_policies}, but policy {idle[0]} plays no agent of '{cfg.env}'; "
            "use fewer, name its agents in agent_policies, or set policy_assignment to random"
        )
    if cfg.num_policies == 1 and not snapshots:
        return None
    return CastingSpec(cfg.num_policies, policies, random, snapshots, cfg.self_play_fraction)
