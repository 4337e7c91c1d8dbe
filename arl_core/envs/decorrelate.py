"""Random steps before the first frame, so that the environments of a run do not begin, and end, their episodes together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.spaces import ActionLayout
from arl_core.interfaces import EnvContext, EnvGroup, StepViews
from arl_core.spaces import ACTION_MASK, mask_size

_STREAM = 1  # apart from the streams that environments make of their seeds themselves


class RandomActions:
    """Uniform action columns [E, A] (see `envs.spaces.ActionLayout`), a row from each of `streams`. Boxes without a bound are
    drawn over a stretch of 2."""

    def __init__(self, space: spaces.Space[Any], streams: Sequence[np.random.Generator]) -> None:
        self._layout = ActionLayout(space)
        self._streams = streams
        self._mask_ends = np.cumsum([mask_size(leaf) for leaf in self._layout.leaves])[:-1]

    def draw(self, mask: NDArray[Any] | None) -> NDArray[Any]:
        """The next step's columns. `mask` [E, M]: 0 where an action is not allowed; none allowed means any."""
        layout = self._layout
        uniform = np.stack([stream.random(layout.size) for stream in self._streams])
        own = np.split(uniform, layout.ends, 1)
        masks = [None] * len(own) if mask is None else np.split(mask, self._mask_ends, 1)
        parts = zip(layout.leaves, own, masks, strict=True)
        columns = [_columns(leaf, u, allowed if mask_size(leaf) else None) for leaf, u, allowed in parts]
        return np.concatenate(columns, 1).astype(layout.dtype, copy=False)


def _columns(leaf: spaces.Space[Any], uniform: NDArray[np.float64], mask: NDArray[Any] | None) -> NDArray[Any]:
    """Columns [E, a] of one part from `uniform` [E, a] in [0, 1)."""
    if isinstance(leaf, spaces.Box):
        low, high = _bounds(leaf)
        return low + uniform * (high - low)
    counts = [int(leaf.n)] if isinstance(leaf, spaces.Discrete) else [2] * uniform.shape[1]
    if isinstance(leaf, spaces.MultiDiscrete):
        counts = [int(n) for n in np.ravel(leaf.nvec)]
    if mask is None:
        return np.floor(uniform * counts).astype(np.int64)
    masks = np.split(mask != 0, np.cumsum(counts)[:-1], 1)
    return np.stack([_choice(u, allowed) for u, allowed in zip(uniform.T, masks, strict=True)], 1)


def _choice(uniform: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One of the allowed choices [E, n] in each row."""
    allowed = allowed | ~allowed.any(1, keepdims=True)
    wanted = np.floor(uniform * allowed.sum(1))  # the how-manieth of them
    chosen: NDArray[np.int64] = np.argmax(np.cumsum(allowed, 1) > wanted[:, None], 1)
    return chosen


def _bounds(leaf: spaces.Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.ravel(leaf.low).astype(np.float64), np.ravel(leaf.high).astype(np.float64)
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    low = np.where(has_low, low, np.where(has_high, high - 2.0, -1.0))
    return low, np.where(has_high, high, low + 2.0)


def ends_episodes(group: EnvGroup) -> bool:
    """Whether single rows of `group` can begin anew (see `EnvGroup`)."""
    end = getattr(group, "end_episodes", None)
    return end is not None and bool(end(np.empty(0, np.int64)))


@dataclass(frozen=True)
class Decorrelation:
    """Every environment plays between 0 and `steps` random steps, a number and actions from a stream of its own."""

    steps: int
    action_space: spaces.Space[Any]

    def play(
        self,
        group: EnvGroup,
        obs: Mapping[str, NDArray[Any]],
        contexts: Sequence[EnvContext],
        beat: Callable[[], None] = lambda: None,
    ) -> NDArray[np.bool_]:
        """After `group.reset_into(obs)`: play, and leave the last observations in `obs` (key -> [E, ...]).

        Rows step together: all play `steps`, and each begins anew so many before the last as its number says. In a group
        whose rows cannot begin anew singly all play as many as the first one's number. Returns which rows [E] are in the
        middle of an episode. `beat` is called every step.
        """
        streams = [np.random.default_rng(np.random.SeedSequence(c.seed, spawn_key=(_STREAM,))) for c in contexts]
        agents = group.num_envs // len(contexts)  # rows of one environment, which share its stream
        counts = np.array([stream.integers(self.steps + 1) for stream in streams])
        single = ends_episodes(group)
        total = self.steps if single else int(counts[0])  # the same for all groups: a row depends on its own stream alone
        actions = RandomActions(self.action_space, [stream for stream in streams for _ in range(agents)])
        ended, truncated, valid = np.zeros((3, group.num_envs), np.bool_)
        views = StepViews(obs, np.zeros(group.num_envs, np.float32), ended, truncated, valid)
        for step in range(total):
            begins = np.flatnonzero(counts == total - 1 - step)
            if single and len(begins):
                group.end_episodes(begins)  # type: ignore[attr-defined]  # optional: see `ends_episodes`
            group.send(actions.draw(obs.get(ACTION_MASK)))
            group.recv_into(views)
            beat()
        return valid & ~(ended | truncated)
