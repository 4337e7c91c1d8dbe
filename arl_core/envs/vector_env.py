"""Gymnasium's vector environments as groups: whatever steps many environments by itself, in NumPy, C++ or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from arl_core.envs.faults import EnvironmentFault, close_quietly, failed
from arl_core.envs.group_env import GroupEnv
from arl_core.envs.make import constructor_arguments
from arl_core.envs.next_step import NextStepGroup
from arl_core.envs.spaces import ActionLayout
from arl_core.envs.state import load_env_state, save_env_state
from arl_core.envs.wrappers.base import WrappedGroup
from arl_core.interfaces import JSON, EnvContext, EnvGroup, EpisodeEnds, StepViews, UserError, load_object


def make_group(
    *,
    options: Any,
    contexts: Sequence[EnvContext],
    target: str | Callable[..., VectorEnv[Any, Any, Any]],
    arguments: Mapping[str, JSON] | None = None,
) -> VectorEnvGroup:
    """The `vector_maker` of `target` (or of what "module:attribute" names), which makes a vector environment of `num_envs`."""
    creator = load_object(target) if isinstance(target, str) else target
    given = {**(arguments or {}), **constructor_arguments(options, contexts[0])}
    if "num_envs" in given:
        raise UserError("environment: num_envs is not an option of its own: num_envs_per_worker and worker_num_splits decide")
    return VectorEnvGroup(creator(num_envs=len(contexts), **given), contexts)


def make_single(*, options: Any, context: EnvContext, **target: Any) -> VectorOfOne:
    """The `maker` beside it: a vector environment of one."""
    return VectorOfOne(lambda context: make_group(options=options, contexts=[context], **target), context)


class VectorEnvGroup(NextStepGroup):
    """`EnvGroup` over a `gymnasium.vector.VectorEnv` of `len(contexts)` environments, which it owns.

    The vector environment resets in the step after an ending (`AutoresetMode.NEXT_STEP`, what Gymnasium takes it for where its
    metadata do not say); another mode raises UserError. It has one seed, the first context's, so its streams depend on how
    many environments step together. Numbers in `info` at an ending become metrics.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], contexts: Sequence[EnvContext]) -> None:
        mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if mode != AutoresetMode.NEXT_STEP or env.num_envs != len(contexts):
            close_quietly(env)
            raise UserError(_unfit(env, mode, len(contexts)))
        super().__init__(len(contexts), env.single_observation_space)
        self.env = env
        self._context = contexts[0]
        self._batched = _batcher(env.single_action_space, self.num_envs)
        self._actions: Any = None

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        with self._told("reset"):
            first, _ = self.env.reset(seed=self._context.seed)
            self._write(first, obs)
        self._ended[:] = False

    def send(self, actions: NDArray[Any]) -> None:
        """See `EnvGroup`; the environments step in `recv_into`."""
        self._actions = self._batched(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """See `EnvGroup`. Raises EnvironmentFault."""
        with self._told("step"):
            return self._take(self.env.step(self._actions), views)

    @contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """Within: what the environments raise becomes an EnvironmentFault, which names the first of them."""
        try:
            yield
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            with_others = f"{where} of {self.num_envs} environments together"
            raise EnvironmentFault(failed(self._context, with_others, error)) from error

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """See `EnvGroup`; None unless the vector environment can be saved."""
        saved = save_env_state(self.env.unwrapped)
        return None if saved is None else {"ended": self._ended.copy(), **{f"env.{key}": value for key, value in saved.items()}}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `EnvGroup`."""
        if "ended" not in state or state["ended"].shape != self._ended.shape:
            raise ValueError(f"the state is not one of {self.num_envs} environments that step together")
        self._ended[:] = state["ended"]
        saved = {key.removeprefix("env."): value for key, value in state.items() if key.startswith("env.")}
        load_env_state(self.env.unwrapped, saved)

    def close(self) -> None:
        """See `EnvGroup`."""
        self.env.close()  # Gymnasium's may be closed twice


class VectorOfOne(GroupEnv):
    """A single environment of a vector environment, for evaluation, pictures and checks."""

    def __init__(self, make: Callable[[EnvContext], VectorEnvGroup], context: EnvContext) -> None:
        first = make(context)
        super().__init__(make, context, first.env.single_observation_space, first.env.single_action_space)
        self.metadata = first.env.metadata
        self.render_mode = context.render_mode
        first.close()

    def render(self) -> Any:
        """The one environment's picture, where there is one."""
        assert isinstance(self.group, VectorEnvGroup)
        pictures: Any = self.group.env.render()
        return None if pictures is None else pictures[0]


def has_one_seed(group: EnvGroup) -> bool:
    """Whether the environments of `group` share one stream, so that alone each would play other episodes."""
    while isinstance(group, WrappedGroup):
        group = group.group
    return isinstance(group, VectorEnvGroup)


def _unfit(env: VectorEnv[Any, Any, Any], mode: Any, wanted: int) -> str:
    name = type(env.unwrapped).__name__
    if env.num_envs != wanted:
        return f"{name} has {env.num_envs} environments where {wanted} were asked for (num_envs)"
    told = mode.name if isinstance(mode, AutoresetMode) else repr(mode)
    return (
        f"{name}: autoreset mode {told}: only one that resets in the step after an ending can be trained on; "
        "make it with autoreset_mode=AutoresetMode.NEXT_STEP where it has a choice"
    )


def _batcher(space: gymnasium.Space[Any], num_envs: int) -> Callable[[NDArray[Any]], Any]:
    """Columns of actions [E, A] -> what `VectorEnv.step` takes: a batch of `space`, in memory of its own."""
    layout = ActionLayout(space)
    if isinstance(space, gymnasium.spaces.Discrete):
        start, dtype = space.start, space.dtype
        return lambda columns: cast(Any, columns[:, 0] + start).astype(dtype, copy=False)
    if space.shape is not None and not isinstance(space, gymnasium.spaces.Tuple | gymnasium.spaces.Dict):
        return lambda columns: np.array(layout.to_env(columns), space.dtype)
    empty = create_empty_array(space, num_envs)
    return lambda columns: concatenate(space, layout.to_env(columns), empty)
