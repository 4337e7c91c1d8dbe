"""The hooks: what arl learns about the robots without importing torch, gymnasium or mujoco."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EnvFamily, EnvSpec
from arl_plugin_mujoco.defaults import overrides
from arl_plugin_mujoco.tasks import DEFAULT, TASKS, aliases


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """The family `mujoco`, one variant for each id of gymnasium's."""
    variants = [
        EnvSpec(
            id=f"{task.name}-v{version}",
            maker="arl_plugin_mujoco.env:make",
            kwargs={"gym_id": f"{task.name}-v{version}", "max_episode_steps": task.max_episode_steps},
            summary=task.summary,
        )
        for task in TASKS
        for version in task.versions
    ]
    return [
        EnvFamily(
            name="mujoco",
            summary="robots in simulation, continuous actions (gymnasium's MuJoCo)",
            variants=tuple(variants),
            default_variant=DEFAULT,
            aliases=aliases(),
            options="arl_plugin_mujoco.options:MujocoOptions",
        )
    ]


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:
    """PPO's settings for continuous control, and what single robots need besides."""
    return overrides(env.partition(":")[2]) if algo == "appo" else None
