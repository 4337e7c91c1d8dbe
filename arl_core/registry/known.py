"""Families that plugins of this project provide, installed or not: what "pip install ..." hints may name.

The list ships with the core, so that a hint never repeats a name that a user mistyped or a stranger registered.
"""

from __future__ import annotations

from arl_core.registry.selection import normalized

_ROBOTS = (
    "Ant-v", "HalfCheetah-v", "Hopper-v", "Humanoid-v", "HumanoidStandup-v", "InvertedDoublePendulum-v", "InvertedPendulum-v",
    "Pusher-v", "Reacher-v", "Swimmer-v", "Walker2d-v",
)  # fmt: skip

# family -> (distribution, historical spellings that begin its names)
KNOWN_FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "atari": ("arl-plugin-atari", ("atari_", "ALE/")),
    "envpool": ("arl-plugin-envpool", ("envpool_",)),
    "maze": ("arl-plugin-maze", ("maze-",)),
    "minigrid": ("arl-plugin-minigrid", ("MiniGrid-", "BabyAI-")),
    "minihack": ("arl-plugin-minihack", ("MiniHack-",)),
    "mujoco": ("arl-plugin-mujoco", ("mujoco_", *_ROBOTS)),
    "nasim": ("arl-plugin-nasim", ("nasim_",)),
    "pettingzoo": ("arl-plugin-pettingzoo", ()),
    "vizdoom": ("arl-plugin-vizdoom", ("doom_", "vizdoom_", "Vizdoom")),
}

# plugins without environments -> distribution
KNOWN_PARTS: dict[str, str] = {"cpca": "arl-plugin-cpca", "rnd": "arl-plugin-rnd"}


def known_family(name: str) -> str | None:
    """The known family that `name` is written for: its own name, `family:variant`, or a historical spelling."""
    head = name.partition(":")[0]
    if head in KNOWN_FAMILIES:
        return head
    for family, (_, spellings) in KNOWN_FAMILIES.items():
        if name.startswith(spellings):
            return family
    return None


def install_hint(family: str) -> str:
    """How to get a known family."""
    dist = KNOWN_FAMILIES[family][0]
    return f"{dist}, which is not installed: pip install {dist}"


def provides(dist: str, family: str) -> bool:
    """Whether the list above has `dist` as the provider of `family`."""
    return normalized(dist) == KNOWN_FAMILIES[family][0]


def is_known_distribution(dist: str) -> bool:
    """Whether the list above has it: what a hint may tell to install though nobody has it yet."""
    return normalized(dist) in {known for known, _ in KNOWN_FAMILIES.values()}
