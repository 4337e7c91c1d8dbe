"""Every MuJoCo id of gymnasium, version 4 and 5, so that a listing needs no import of gymnasium (a test compares them)."""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """One robot and what it is rewarded for."""

    name: str  # as in gymnasium's ids
    summary: str
    max_episode_steps: int = 1000
    versions: tuple[int, ...] = (5, 4)  # the newest first


TASKS = (
    Task("Ant", "a quadruped that walks forward"),
    Task("HalfCheetah", "a flat cheetah that runs forward; episodes never end early"),
    Task("Hopper", "a leg that hops forward and must not fall"),
    Task("Humanoid", "a humanoid that walks forward and must not fall"),
    Task("HumanoidStandup", "a humanoid that stands up"),
    Task("InvertedDoublePendulum", "a cart that balances two poles, one on the other"),
    Task("InvertedPendulum", "a cart that balances a pole"),
    Task("Pusher", "an arm that pushes a cylinder to a goal", 100, (5,)),  # version 4 needs mujoco < 3, says gymnasium
    Task("Reacher", "a two-jointed arm that reaches a goal", 50),
    Task("Swimmer", "a three-part swimmer that moves forward"),
    Task("Walker2d", "two legs that walk forward and must not fall"),
)
DEFAULT = "HalfCheetah-v5"
# Sample Factory's spellings, where they are not the task's name
_OTHER_NAMES = {
    "doublependulum": "InvertedDoublePendulum",
    "pendulum": "InvertedPendulum",
    "standup": "HumanoidStandup",
    "walker": "Walker2d",
}


def prefixes() -> list[str]:
    """The beginnings of historical ids, as `pyproject.toml` has them."""
    return ["mujoco_", *(f"{task.name}-v" for task in TASKS)]


def aliases() -> dict[str, str]:
    """Gymnasium's ids, names without a version, and those in lower case, to ids: "halfcheetah" -> "HalfCheetah-v5"."""
    newest = {task.name: f"{task.name}-v{task.versions[0]}" for task in TASKS}
    ids = [f"{task.name}-v{version}" for task in TASKS for version in task.versions]
    found = newest | dict(zip(ids, ids, strict=True))
    for task in TASKS:
        found[task.name.lower()] = newest[task.name]
        found |= {f"{task.name.lower()}-v{version}": f"{task.name}-v{version}" for version in task.versions}
    return found | {name: newest[task] for name, task in _OTHER_NAMES.items()}
