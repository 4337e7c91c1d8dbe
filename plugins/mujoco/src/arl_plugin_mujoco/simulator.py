"""MuJoCo itself: imported with a clear error where something is missing, its warnings logged instead of written to a file."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import UserError

log = logging.getLogger("arl.mujoco")
# MuJoCo 4 says so of gymnasium's own model of the cheetah, whose masses come out as they should
_KNOWN = "'settotalmass' is deprecated"
_NO_OPENGL = (
    "mujoco: no picture: OpenGL does not work here ({reason}). Without a display: install libegl1 and set MUJOCO_GL=egl, or "
    "libosmesa6 and MUJOCO_GL=osmesa; before Python starts"
)


def import_mujoco(*, render: bool = False) -> Any:
    """The module `mujoco`, with gymnasium's environments imported. `render`: pictures will be asked for.

    Raises UserError that says what to install.
    """
    has_display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if render and not has_display:
        os.environ.setdefault("MUJOCO_GL", "egl")  # read when mujoco is imported; glfw would need a display
    try:
        import mujoco
        from gymnasium.envs.mujoco import mujoco_env  # noqa: F401  # imports imageio, glfw and packaging
    except ModuleNotFoundError as error:
        raise UserError(f"mujoco: the package {error.name} is missing: pip install arl-plugin-mujoco") from None
    except ImportError as error:  # gymnasium's own DependencyNotInstalled too, and a library that cannot be loaded
        raise UserError(f"mujoco cannot be imported ({_one_line(error)}): pip install arl-plugin-mujoco") from None
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warned)
    return mujoco


def _warned(message: str) -> None:
    """Instead of MuJoCo's own way, which appends to MUJOCO_LOG.TXT in the working directory."""
    log.log(logging.DEBUG if _KNOWN in message else logging.WARNING, "mujoco: %s", " ".join(message.split()))


def picture(env: Any) -> NDArray[Any] | None:
    """What `env` renders. Raises UserError where OpenGL does not work."""
    import mujoco

    try:
        image: NDArray[Any] | None = env.render()
    except (AttributeError, ImportError, RuntimeError, mujoco.FatalError) as error:  # as many kinds as there are back ends
        raise UserError(_NO_OPENGL.format(reason=_one_line(error))) from None
    return image


def get_physics(model: Any, data: Any) -> dict[str, NDArray[np.float64]]:
    """All of a simulation that the next step depends on, as arrays."""
    import mujoco

    state = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    # rewards of some robots take the parts' places from before the step, as the last step of the simulation left them
    return {"physics": state, "places": np.stack([data.xpos, data.xipos])}


def set_physics(model: Any, data: Any, physics: NDArray[np.float64], places: NDArray[np.float64]) -> None:
    """Go on from what `get_physics` saved. Raises ValueError where it is of another model."""
    import mujoco

    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
    if physics.shape != (size,) or places.shape != (2, *data.xpos.shape):
        raise ValueError(f"the state is of a model of {physics.size} numbers, this one has {size}")
    mujoco.mj_setState(model, data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
    data.xpos[:], data.xipos[:] = places


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
