"""The last k frames as one observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.spaces import array_spec
from arl_core.envs.wrappers.base import ObservedGroup, Wrapper, chosen_leaves
from arl_core.interfaces import EnvGroup, FrameStacking, UserError
from arl_core.spaces import element_type, is_channels_last, replace_leaves

_STRIP_FRAMES = 32  # frames that a strip has room for beside the first k: how seldom k - 1 of them are copied


class FrameStack(Wrapper):
    """The last `k` frames of every `Box` (or of `keys`), oldest first, joined on their channels: [C, H, W] as
    [k * C, H, W], uint8 [H, W, C] as [H, W, k * C], [N] as [k * N]; or on `axis`. An episode begins with k times its first.

    Each observation is a view of a strip that holds every frame once, written when it comes and never again: a step copies
    one frame, and observations that are kept stay as they were. Do not write to them.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], k: int = 4, keys: Sequence[str] | None = None, axis: int | None = None
    ) -> None:
        super().__init__(env)
        leaves = _stackable(env.observation_space, keys)
        axes = {key: _joined_axis(key, leaf, axis) for key, leaf in leaves.items()}
        self._strips = {key: _Strip(k, leaf, axes[key]) for key, leaf in leaves.items()}
        self.frame_stacks = {key: FrameStacking(k, axis, copies_first=True) for key, axis in axes.items()}
        pushes = {key: (_stacked_space(leaf, k, axes[key]), self._strips[key].push) for key, leaf in leaves.items()}
        starts = {key: (_stacked_space(leaf, k, axes[key]), self._strips[key].start) for key, leaf in leaves.items()}
        self.observation_space, self._push = replace_leaves(env.observation_space, pushes)
        _, self._start = replace_leaves(env.observation_space, starts)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """See `gymnasium.Env`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._start(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._push(observation), reward, terminated, truncated, info

    def _own_state(self) -> dict[str, NDArray[Any]]:
        return {key: strip.stack().copy() for key, strip in self._strips.items()}

    def _set_own_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        for key, strip in self._strips.items():
            _check(state, key, strip.stack().shape)
            strip.restore(state[key])


class _Strip:
    """Frames one after the other on one axis, and the stack of the last k as a view."""

    def __init__(self, k: int, leaf: spaces.Box, axis: int) -> None:
        self._k, self._axis = k, axis
        self._width = leaf.shape[axis]
        shape = list(leaf.shape)
        shape[axis] *= k + _STRIP_FRAMES
        self._shape, self._dtype = tuple(shape), leaf.dtype
        self._frames = np.zeros(self._shape, self._dtype)
        self._end = k

    def _slice(self, first: int, end: int) -> tuple[slice, ...]:
        """Frames `first` up to `end`."""
        return (*[slice(None)] * self._axis, slice(first * self._width, end * self._width))

    def stack(self) -> NDArray[Any]:
        return self._frames[self._slice(self._end - self._k, self._end)]

    def start(self, frame: Any) -> NDArray[Any]:
        """The first frame of an episode, k times."""
        self._frames, self._end = np.empty(self._shape, self._dtype), self._k
        for number in range(self._k):
            self._frames[self._slice(number, number + 1)] = frame
        return self.stack()

    def push(self, frame: Any) -> NDArray[Any]:
        """The next frame, after the k - 1 before it."""
        if self._end == self._k + _STRIP_FRAMES:
            kept = self._frames[self._slice(self._end - self._k + 1, self._end)]
            self._frames, self._end = np.empty(self._shape, self._dtype), self._k - 1
            self._frames[self._slice(0, self._end)] = kept
        self._frames[self._slice(self._end, self._end + 1)] = frame
        self._end += 1
        return self.stack()

    def restore(self, stack: NDArray[Any]) -> None:
        self._frames, self._end = np.empty(self._shape, self._dtype), self._k
        self.stack()[...] = stack


class FrameStackGroup(ObservedGroup):
    """`FrameStack` for a group: the group writes each step into one of k arrays, in turn."""

    def __init__(
        self,
        group: EnvGroup,
        space: spaces.Space[Any],
        k: int = 4,
        keys: Sequence[str] | None = None,
        axis: int | None = None,
    ) -> None:
        leaves = _stackable(space, keys)
        self._axes = {key: _joined_axis(key, leaf, axis) for key, leaf in leaves.items()}
        specs = {
            key: array_spec(_stacked_space(leaves[key], k, self._axes[key])) if key in leaves else spec
            for key, spec in group.obs_specs.items()
        }
        super().__init__(group, specs, tuple(leaves))
        self._k = k
        self._ring = {key: np.zeros((k, *array.shape), array.dtype) for key, array in self._inner.items()}
        self._newest = 0

    def _inner_obs(self, obs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self._newest = (self._newest + 1) % self._k
        self._inner = {key: ring[self._newest] for key, ring in self._ring.items()}
        return super()._inner_obs(obs)

    def _write(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_] | None) -> None:
        begun = np.arange(self.num_envs) if valid is None else np.flatnonzero(~valid)
        for key, ring in self._ring.items():
            if begun.size:
                ring[:, begun] = ring[self._newest, begun]
            axis = self._axes[key] + 1
            width = ring.shape[axis + 1]
            before = (slice(None),) * axis
            for position, frame in enumerate(self._in_order(ring)):
                obs[key][(*before, slice(position * width, (position + 1) * width))] = frame

    def _in_order(self, ring: NDArray[Any]) -> list[NDArray[Any]]:
        """Frames [E, ...], oldest first."""
        return [ring[(self._newest + 1 + age) % self._k] for age in range(self._k)]

    def _own_state(self) -> dict[str, NDArray[Any]]:
        return {key: np.stack(self._in_order(ring)) for key, ring in self._ring.items()}

    def _set_own_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self._newest = self._k - 1
        for key, ring in self._ring.items():
            _check(state, key, ring.shape)
            ring[...] = state[key]


def _check(state: Mapping[str, NDArray[Any]], key: str, shape: tuple[int, ...]) -> None:
    if key not in state or state[key].shape != shape:
        saved = state[key].shape if key in state else "nothing"
        raise ValueError(f"the saved frames of observation '{key}' are {saved}, frame-stack needs {shape}")


def _stackable(space: spaces.Space[Any], keys: Sequence[str] | None) -> dict[str, Any]:
    return chosen_leaves("frame-stack", space, keys, _is_array, "an array (Box of one axis or more)")


def _is_array(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) > 0


def _joined_axis(key: str, leaf: spaces.Box, axis: int | None) -> int:
    """The axis that frames are joined on, counted from the first."""
    axes = len(leaf.shape)
    if axis is None:
        is_hwc = axes == 3 and leaf.dtype == np.uint8 and is_channels_last(leaf.shape)
        return 2 if is_hwc else 0
    if not -axes <= axis < axes:
        raise UserError(f"wrapper 'frame-stack': no axis {axis} in observation '{key}', which is {list(leaf.shape)}")
    return axis % axes


def _stacked_space(leaf: spaces.Box, k: int, axis: int) -> spaces.Box:
    low, high = (np.concatenate([bound] * k, axis) for bound in (leaf.low, leaf.high))
    return spaces.Box(low, high, dtype=element_type(leaf))
