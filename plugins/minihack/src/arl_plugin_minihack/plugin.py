"""The hooks: what arl learns about MiniHack without importing torch, minihack or NetHack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EncoderSpec, EnvFamily, EnvSpec, WrapperRef
from arl_plugin_minihack.ids import IDS

_DEFAULT = "Room-5x5"
_STAIRS = "reach the stairs down"
# the beginning of an id -> what is to be done; the first that fits
_TASKS = {
    "Boxoban": "push boulders onto fountains (levels are downloaded: see the README)",
    "ClosedDoor": f"{_STAIRS} behind a closed door",
    "CorridorBattle": f"{_STAIRS} past a horde of rats",
    "Corridor": f"{_STAIRS} through corridors between rooms",
    "Eat": "eat the apple",
    "ExploreMaze": "eat apples in a maze, then reach the stairs",
    "Freeze": "freeze the monster or the lava",
    "HideNSeek": f"{_STAIRS} unseen by a monster",
    "KeyRoom": "take the key, unlock the door, reach the stairs",
    "Labyrinth": f"{_STAIRS} at the centre of a labyrinth",
    "LavaCrossing": f"{_STAIRS} through gaps in rivers of lava (needs the package minigrid)",
    "LavaCross": f"{_STAIRS} across lava",
    "Levitate": "levitate",
    "LockedDoor": f"{_STAIRS} behind a locked door",
    "MazeWalk": f"{_STAIRS} through a maze",
    "Memento": "remember at the fork what was seen at the start",
    "MultiRoom": f"{_STAIRS} through rooms with doors (needs the package minigrid)",
    "Navigation-Custom": "a level of your own (--minihack.des-file), eight directions",
    "Pray": "pray at the altar",
    "PutOn": "put on the amulet",
    "Quest": "cross the lava, then beat what guards the stairs",
    "Read": "read the scroll",
    "River": f"{_STAIRS} across a river, bridged by boulders",
    "Room": f"{_STAIRS} in a room",
    "SimpleCrossing": f"{_STAIRS} through gaps in walls (needs the package minigrid)",
    "Sink": "kick the sink",
    "Skill-Custom": "a level of your own (--minihack.des-file), every action",
    "Sokoban": "push boulders into the pits (NetHack's Sokoban)",
    "Wear": "wear the robe",
    "Wield": "wield the dagger",
    "WoD": "kill the minotaur with a wand of death",
    "Zap": "zap the wand",
}


def _variant(gym_id: str) -> EnvSpec:
    name = re.sub(r"^MiniHack-|-v\d+$", "", gym_id)
    task = next(text for start, text in _TASKS.items() if name.startswith(start))
    return EnvSpec(id=name, maker="arl_plugin_minihack.env:make", kwargs={"gym_id": gym_id}, summary=task)


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `minihack`, under minihack's ids too."""
    variants = tuple(map(_variant, IDS))
    return [
        EnvFamily(
            name="minihack",
            summary="small worlds of NetHack (MiniHack)",
            variants=variants,
            default_variant=_DEFAULT,
            aliases={gym_id: spec.id for gym_id, spec in zip(IDS, variants, strict=True)},
            options="arl_plugin_minihack.options:MiniHackOptions",
            encoder="minihack/auto",
            wrappers=(
                WrapperRef("pixel-format-chw", when={"observation": "pixel"}),
                WrapperRef("pixel-format-chw", when={"observation": "pixel_crop"}),
            ),
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:  # noqa: ARG001  # the hook's signature
    """For a reward at the end of an episode, in an environment whose steps cost more than training on them."""
    overrides: dict[str, Any] = {
        "num_envs_per_worker": 32,
        "num_batches_per_iteration": 2,
        "learning_rate": 1e-3,
        "nonlinearity": "relu",
    }
    if env == f"minihack:{_DEFAULT}":  # solved by then: see the README
        overrides["train_for_env_steps"] = 100_000
    return overrides


@hookimpl
def arl_encoders() -> Iterable[EncoderSpec]:
    """Encoders of glyphs, and `minihack/auto`, which looks whether there are glyphs or pixels."""
    module = "arl_plugin_minihack.encoders"
    auto = "what fits the observation: minihack/glyphs, minihack/crop, or the core's conv for pixels"
    glyphs = "minihack/crop, and a coarse look at the whole map"
    crop = "embedded glyphs of the crop through convolutions, and the status line"
    return [
        EncoderSpec("minihack/auto", f"{module}:make_auto", auto),
        EncoderSpec("minihack/glyphs", f"{module}:GlyphEncoder", glyphs),
        EncoderSpec("minihack/crop", f"{module}:CropEncoder", crop),
    ]
