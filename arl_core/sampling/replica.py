"""From a description that pickles to a policy replica: an actor is built in the process that uses it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.models.recipe import ModelRecipe
from arl_core.sampling.actor import Actor
from arl_core.sampling.cast_actor import CastActor


@dataclass(frozen=True)
class ReplicaSpec:
    """A policy replica and the stream that its actions are drawn from."""

    recipe: ModelRecipe
    stream: int  # number of the action stream: one for each actor of the run
    life: int = 0  # how often its process was restarted
    device: str = "cpu"
    policy: int | None = None  # the one that it acts for, with its snapshots; None: all of the run


def make_actor(spec: ReplicaSpec, arena: Arena, shape: SlotShape, groups: range) -> Actor:
    """An actor for `groups`, computing on one thread (the others are needed by other processes)."""
    if spec.device == "cpu":
        torch.set_num_threads(1)
    device = torch.device(spec.device)
    generator = torch.Generator(device=device)
    generator.manual_seed(action_seed(spec.recipe.cfg.seed, spec.stream, spec.life))
    if not shape.has_owners:
        return Actor(spec.recipe.build(), arena, shape, groups, generator, device=device)
    policies = range(shape.num_policies) if spec.policy is None else [spec.policy]
    players = [player for policy in policies for player in (policy, *shape.snapshots_of(policy))]
    return CastActor([spec.recipe.build() for _ in players], players, arena, shape, groups, generator, device)


def action_seed(run_seed: int, stream: int, life: int = 0) -> int:
    """Seed of an action stream; apart from the environments' streams by its longer spawn key."""
    return int(np.random.SeedSequence(run_seed, spawn_key=(stream, life, 1)).generate_state(1, np.uint64)[0] >> 1)
