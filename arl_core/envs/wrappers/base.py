"""What wrappers share: states that pass through, changes of single observation arrays in both forms, one kind of message."""

# ruff: noqa: D102  # `EnvGroup` documents what is not documented here

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from arl_core.envs.spaces import array_spec
from arl_core.envs.state import load_env_state, save_env_state
from arl_core.interfaces import ArraySpec, EnvGroup, EpisodeEnds, StepViews, UserError
from arl_core.spaces import ACTION_MASK, leaves_of, replace_leaves

_INNER = "env."  # begins the keys of what a wrapper stands around, in its state


class _Saved:
    """A state in two parts: what we stand around, and what we hold ourselves."""

    def _joined(self, inner: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]] | None:
        """The whole, from the inner part; None where there is none."""
        if inner is None:
            return None
        return {**{f"{_INNER}{key}": value for key, value in inner.items()}, **self._own_state()}

    def _take_own(self, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return to our part of the whole; gives the inner part."""
        self._set_own_state({key: value for key, value in state.items() if not key.startswith(_INNER)})
        return {key.removeprefix(_INNER): value for key, value in state.items() if key.startswith(_INNER)}

    def _own_state(self) -> dict[str, NDArray[Any]]:
        return {}

    def _set_own_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        if state:
            raise ValueError(f"{type(self).__name__} holds no state, the saved one has '{next(iter(state))}'")


class Wrapper(_Saved, gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that can be saved (see `envs.state`) where its environment can, with what it holds itself."""

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """All that `set_state` needs to go on bit for bit; None where the environment cannot be saved."""
        return self._joined(save_env_state(self.env))

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it does not fit."""
        load_env_state(self.env, self._take_own(state))


class WrappedGroup(_Saved):
    """An `EnvGroup` around another one, which it forwards everything to."""

    def __init__(self, group: EnvGroup) -> None:
        self.group = group
        self.num_envs = group.num_envs
        self.obs_specs: Mapping[str, ArraySpec] = group.obs_specs

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        self.group.reset_into(obs)

    def send(self, actions: NDArray[Any]) -> None:
        self.group.send(actions)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        return self.group.recv_into(views)

    def end_episodes(self, rows: NDArray[np.int64]) -> bool:
        end = getattr(self.group, "end_episodes", None)
        return end is not None and bool(end(rows))

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        return self._joined(self.group.get_state())

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.group.set_state(self._take_own(state))

    def close(self) -> None:
        self.group.close()


class ObservedGroup(WrappedGroup):
    """A group whose observations differ from the inner group's, which writes those into arrays of ours."""

    def __init__(self, group: EnvGroup, specs: Mapping[str, ArraySpec], own: Sequence[str]) -> None:
        super().__init__(group)
        self.obs_specs = specs
        self._inner = {key: np.zeros((group.num_envs, *group.obs_specs[key].shape), group.obs_specs[key].dtype) for key in own}
        self._passed = [key for key in group.obs_specs if key not in self._inner]

    def _inner_obs(self, obs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Where the inner group writes: its arrays of ours and, untouched keys, straight into `obs`."""
        return {**{key: obs[key] for key in self._passed}, **self._inner}

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        self.group.reset_into(self._inner_obs(obs))
        self._write(obs, None)

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        ends = self.group.recv_into(views._replace(obs=self._inner_obs(views.obs)))
        self._write(views.obs, views.valid)
        return ends

    def _write(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_] | None) -> None:
        """Fill our keys of `obs` from `self._inner`; `valid` [E] as in `StepViews`, None after a reset of all."""
        raise NotImplementedError


class Change(NamedTuple):
    """A change of one observation array: the space after it, and the function of a batch [E, ...] -> [E, ...]."""

    space: spaces.Space[Any]
    apply: Callable[[NDArray[Any]], NDArray[Any]]


class ChangedObservation(Wrapper, gymnasium.ObservationWrapper[Any, Any, Any]):
    """Applies `changes` (key -> Change) to a single environment's observations. Where a change is a view, nothing is copied."""

    def __init__(self, env: gymnasium.Env[Any, Any], changes: Mapping[str, Change]) -> None:
        super().__init__(env)
        functions = {key: (change.space, partial(_one_row, change.apply)) for key, change in changes.items()}
        self.observation_space, self._change = replace_leaves(env.observation_space, functions)

    def observation(self, observation: Any) -> Any:
        """See `gymnasium.ObservationWrapper`."""
        return self._change(observation)


class ChangedGroup(ObservedGroup):
    """Applies `changes` (key -> Change) to a whole group's observations."""

    def __init__(self, group: EnvGroup, changes: Mapping[str, Change]) -> None:
        specs = {key: array_spec(changes[key].space) if key in changes else spec for key, spec in group.obs_specs.items()}
        super().__init__(group, specs, tuple(changes))
        self._changes = changes

    def _write(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_] | None) -> None:  # noqa: ARG002
        for key, change in self._changes.items():
            obs[key][...] = change.apply(self._inner[key])


def _one_row(apply: Callable[[NDArray[Any]], NDArray[Any]], value: Any) -> NDArray[Any]:
    row: NDArray[Any] = apply(np.asarray(value)[None])[0]
    return row


def chosen_leaves(
    wrapper: str, space: spaces.Space[Any], keys: Sequence[str] | None, fits: Callable[[Any], bool], needs: str
) -> dict[str, Any]:
    """The leaves of `space` that a wrapper changes: `keys`, or all that fit. Raises UserError that names what it `needs`.

    The action mask is left alone unless it is named.
    """
    leaves = {key: leaf for key, (_, leaf) in leaves_of(space).items()}
    if keys is None:
        found = {key: leaf for key, leaf in leaves.items() if fits(leaf) and key != ACTION_MASK}
        if not found:
            seen = ", ".join(f"'{key}' {described(leaf)}" for key, leaf in leaves.items())
            raise UserError(f"wrapper '{wrapper}' needs {needs}; the observation has {seen}")
        return found
    for key in keys:
        if key not in leaves:
            raise UserError(f"wrapper '{wrapper}': no observation '{key}' in keys; there is {', '.join(leaves)}")
        if not fits(leaves[key]):
            raise UserError(f"wrapper '{wrapper}' needs {needs}; observation '{key}' is {described(leaves[key])}")
    return {key: leaves[key] for key in keys}


def described(leaf: spaces.Space[Any]) -> str:
    """A leaf space on one line, whatever its bounds."""
    if isinstance(leaf, spaces.Discrete):
        return f"Discrete({leaf.n})"
    return f"{type(leaf).__name__} {list(leaf.shape or ())} {leaf.dtype}"
