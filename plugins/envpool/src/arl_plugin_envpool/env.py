"""A single environment of EnvPool: a group of one, for evaluation, checks and everything else that steps one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arl_core.envs.group_env import GroupEnv
from arl_core.interfaces import EnvContext, FrameStacking, UserError
from arl_plugin_envpool.group import EnvPoolGroup
from arl_plugin_envpool.options import EnvPoolOptions


def make(*, options: EnvPoolOptions | None, context: EnvContext, task_id: str) -> EnvPoolEnv:
    """The `maker` of every id."""
    return EnvPoolEnv(task_id, options or EnvPoolOptions(), context)


def _frame_stacks(config: Mapping[str, Any]) -> dict[str, FrameStacking]:
    """What is known of Atari's stacks. With `episodic_life` a life goes on with the frames of the one before."""
    is_atari = {"stack_num", "noop_max", "zero_discount_on_life_loss"} <= set(config)
    if not is_atari or config["episodic_life"]:
        return {}
    return {"obs": FrameStacking(config["stack_num"], 0, copies_first=True)}


class EnvPoolEnv(GroupEnv):
    """One environment of EnvPool as a `gymnasium.Env`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  # gymnasium declares it so

    def __init__(self, task_id: str, options: EnvPoolOptions, context: EnvContext) -> None:
        if context.render_mode not in (None, "rgb_array"):
            raise UserError(f"envpool: no render mode '{context.render_mode}'; the choice is 'rgb_array' or none")
        self.render_mode = context.render_mode

        def make_group(context: EnvContext) -> EnvPoolGroup:
            return EnvPoolGroup(task_id, [context], arguments=options.arguments, render_mode=context.render_mode)

        first = make_group(context)
        super().__init__(make_group, context, first.observation_space, first.action_space)
        self.frame_stacks = _frame_stacks(first.pool.config)
        first.close()

    def render(self) -> Any:
        """rgb_array: uint8 [height, width, 3], where the id can be drawn."""
        if self.render_mode is None:
            return None
        assert isinstance(self.group, EnvPoolGroup)
        return self.group.pool.render(0)[0]
