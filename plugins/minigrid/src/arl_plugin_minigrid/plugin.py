"""The hooks: what arl learns about MiniGrid without importing torch or minigrid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EncoderSpec, EnvFamily, EnvSpec, WrapperRef
from arl_plugin_minigrid.ids import IDS

_DEFAULT = "DoorKey-5x5"
# the beginning of a variant -> what is to be done; the first that fits
_TASKS = {
    "BabyAI-": "follow the instruction (BabyAI)",
    "BlockedUnlockPickup": "move the ball away, unlock the door, pick up the box",
    "DistShift": "reach the goal past lava",
    "DoorKey": "take the key, open the door, reach the goal",
    "Dynamic-Obstacles": "reach the goal among moving balls",
    "Empty": "reach the goal in an empty room",
    "Fetch": "pick up the object that the mission names",
    "FourRooms": "reach the goal in one of four rooms",
    "GoToDoor": "go to the door that the mission names",
    "GoToObject": "go to the object that the mission names",
    "KeyCorridor": "find the key, then the locked room, pick up the ball",
    "LavaCrossing": "reach the goal through gaps in rivers of lava",
    "LavaGap": "reach the goal through a gap in lava",
    "LockedRoom": "find the key, then the locked room, reach the goal",
    "Memory": "remember the object at the start, go to the same at the end of the hallway",
    "MultiRoom": "reach the goal through rooms with doors",
    "ObstructedMaze": "find the ball behind locked doors, hidden keys, blocking balls",
    "Playground": "no task",
    "PutNear": "put one object beside another, as the mission says",
    "RedBlueDoors": "open the red door, then the blue one",
    "SimpleCrossing": "reach the goal through gaps in walls",
    "Unlock": "open the door",
    "WFC": "reach the goal in a generated maze (needs networkx, and patterns that some wheels of minigrid lack)",
}


# Several passes over fresh data (V-trace with one pass, and passes over data 6 to 24 optimiser steps old, learned DoorKey-5x5
# three times as slowly or not). 16 environments a worker: batches then come out even with 1 and 2 workers.
_COMMON = {
    "num_envs_per_worker": 16,
    "async_rl": False,
    "ppo_clip_ratio": 0.2,
    "with_vtrace": False,
    "nonlinearity": "relu",
}
# Small steps soon after what was seen, and entropy: 10 seeds of 10 learned DoorKey-5x5 so, 7 of 8 with three passes over 2,048
# frames in steps of 1,024, 13 of 14 with half the entropy. See docs/benchmarks.md.
_DEFAULTS = {
    **_COMMON,
    "batch_size": 256,
    "num_batches_per_iteration": 4,
    "ppo_epochs": 4,
    "learning_rate": 5e-4,
    "exploration_loss_coeff": 0.02,
}
# what must be remembered is learned from large batches, and late
_MEMORY = {
    **_COMMON,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 3,
    "learning_rate": 1e-3,
    "exploration_loss_coeff": 0.01,
    "use_rnn": True,
    "train_for_env_steps": 1_200_000,
}


def _names() -> dict[str, str]:
    """Gymnasium id -> variant: without `MiniGrid-` and version; an older version of an id keeps its number."""
    newest = {re.sub(r"-v\d+$", "", gym_id): gym_id for gym_id in IDS}  # in order: the last is the newest
    names = {gym_id: gym_id.removeprefix("MiniGrid-") for gym_id in IDS}
    return names | {gym_id: plain.removeprefix("MiniGrid-") for plain, gym_id in newest.items()}


def _variant(gym_id: str, name: str) -> EnvSpec:
    task = next(text for start, text in _TASKS.items() if name.startswith(start))
    return EnvSpec(id=name, maker="arl_plugin_minigrid.env:make", kwargs={"gym_id": gym_id}, summary=task)


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `minigrid`, under minigrid's ids too, and in small letters."""
    names = _names()
    return [
        EnvFamily(
            name="minigrid",
            summary="small rooms with keys, doors and instructions (MiniGrid, BabyAI)",
            variants=tuple(_variant(gym_id, name) for gym_id, name in names.items()),
            default_variant=_DEFAULT,
            aliases=names | {name.lower(): name for name in names.values()},
            options="arl_plugin_minigrid.options:MiniGridOptions",
            encoder="minigrid/auto",
            wrappers=(WrapperRef("pixel-format-chw", when={"observation": "pixels"}),),
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """For a reward at the end of an episode."""
    variant = env.partition(":")[2]
    if variant == _DEFAULT:
        return {**_DEFAULTS, "train_for_env_steps": 400_000}  # solved by then: see the README
    if variant.startswith("Memory"):
        return _MEMORY
    return _DEFAULTS


@hookimpl
def arl_encoders() -> Iterable[EncoderSpec]:
    """One encoder that looks at what there is, and one that says so if it is not symbols."""
    module = "arl_plugin_minigrid.encoders"
    auto = "minigrid/symbolic, or the core's conv for pixels; direction and mission beside"
    symbolic = "embedded objects, colours and states of the cells, then a dense layer"
    return [
        EncoderSpec("minigrid/auto", f"{module}:make_auto", auto),
        EncoderSpec("minigrid/symbolic", f"{module}:SymbolicEncoder", symbolic),
    ]
