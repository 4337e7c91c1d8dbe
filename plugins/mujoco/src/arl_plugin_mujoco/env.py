"""A robot as a `gymnasium.Env`: gymnasium's own, with options, a state that can be saved, and errors of one line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from arl_core.envs.state import rng_from_array, rng_to_array
from arl_core.interfaces import EnvContext, UserError
from arl_plugin_mujoco.options import MujocoOptions
from arl_plugin_mujoco.simulator import get_physics, import_mujoco, picture, set_physics

_RENDER_MODES = (None, "rgb_array", "human", "depth_array")


def make(
    *, options: MujocoOptions | None, context: EnvContext, gym_id: str, max_episode_steps: int
) -> gymnasium.Env[NDArray[np.float64], NDArray[np.float32]]:
    """The `maker` of every variant. Raises UserError where a package is missing or an option is not the variant's."""
    chosen = options or MujocoOptions()
    robot = Robot(_make_robot(gym_id, chosen, context.render_mode))
    return TimeLimit(robot, chosen.max_episode_steps or max_episode_steps)


def _make_robot(gym_id: str, options: MujocoOptions, render_mode: str | None) -> gymnasium.Env[Any, Any]:
    if render_mode not in _RENDER_MODES:
        raise UserError(f"mujoco: no render mode '{render_mode}'; the choice is 'rgb_array', 'human', 'depth_array' or none")
    import_mujoco(render=render_mode is not None)
    from gymnasium.envs.registration import load_env_creator, spec

    described = spec(gym_id)
    assert isinstance(described.entry_point, str)
    creator: Any = load_env_creator(described.entry_point)
    arguments = options.model_dump(exclude_none=True, exclude={"max_episode_steps"})
    if options.xml_file is not None:  # gymnasium looks for a relative one in its own assets
        arguments["xml_file"] = str(Path(options.xml_file).expanduser().resolve())
    known = inspect.signature(creator.__init__).parameters
    for name in arguments:
        if name not in known:
            have = ", ".join(option for option in MujocoOptions.model_fields if option in known) or "none of its own"
            raise UserError(f"mujoco.{name}: {gym_id} has no such option; it has: {have}")
    try:
        robot: gymnasium.Env[Any, Any] = creator(**described.kwargs, **arguments, render_mode=render_mode)
        if options.xml_file is not None:
            robot.reset()  # whether the model fits the task shows here
    except (OSError, ValueError, LookupError, AttributeError) as error:
        if options.xml_file is None:
            raise
        raise UserError(f"mujoco.xml_file: {options.xml_file}: {' '.join(str(error).split())}") from None
    return robot


class Robot(gymnasium.Wrapper[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]):
    """gymnasium's robot, step for step, that can be saved and goes on bit for bit."""

    def render(self) -> Any:
        """rgb_array: uint8 [480, 480, 3]. Raises UserError where OpenGL does not work."""
        return picture(self.env)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The simulation and the random stream."""
        robot: Any = self.unwrapped
        return {**get_physics(robot.model, robot.data), "stream": rng_to_array(robot.np_random)}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from `get_state`'s. Raises ValueError where it is of another model."""
        robot: Any = self.unwrapped
        if state.keys() != {"physics", "places", "stream"}:
            raise ValueError(f"the state is not a robot's: it has {', '.join(sorted(state))}")
        set_physics(robot.model, robot.data, state["physics"], state["places"])
        robot.np_random = rng_from_array(state["stream"])
