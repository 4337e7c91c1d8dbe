"""A trained policy as one plain module: raw observations in, actions as the environment takes them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.models.policy import PolicyNetwork
from arl_core.models.spaces import ACTION_MASK
from arl_core.spaces import action_parts, given_at, joined, leaves_of


class PolicyOutput(NamedTuple):
    """What `StandalonePolicy` computes for N observations."""

    action: Any  # [N, ...], of the action space's shape and dtype; for Dict and Tuple actions a dict or tuple of them
    params: Tensor  # [N, P] float32, of the action distribution: logits; means and log standard deviations
    value: Tensor  # [N] float32, in units of the scaled rewards
    state: Tensor | None  # [N, H] float32, for the next call; None without a recurrent core


class StandalonePolicy(nn.Module):
    """The deterministic policy: preprocessing, normalisers, network, the most probable action, its bounds.

    `forward(obs, state)` takes a batch of observations as the environment gives them, after the run's wrappers: tensors
    [N, ...], in a dict or tuple where the space is one (or by the keys of `arl_core.spaces`), and the recurrent state
    [N, `state_size`], None for zeros. Whoever plays zeroes the state where an episode begins. Masks are those of the
    observation "action_mask". Nothing is learned from what it sees. It can be saved by `torch.save`.
    Raises ValueError for observations of another shape.
    """

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        network.use_float32()
        self.obs_space, self.action_space = network.obs_space, network.action_space
        self.state_size = network.state_size
        leaves = leaves_of(self.obs_space)
        self._paths = [(key, path) for key, (path, _) in leaves.items()]
        self._shapes = {key: tuple(leaf.shape or ()) for key, (_, leaf) in leaves.items()}
        self._leaves = [_ActionLeaf(leaf) for _, leaf in action_parts(self.action_space)]
        squashed = network.dist.squashed
        self._squashed = bool(squashed)
        columns = [column for column, _, _ in squashed]
        is_squashed = torch.zeros(network.dist.action_size, dtype=torch.bool)
        low, high = torch.zeros(2, network.dist.action_size)
        is_squashed[columns] = True
        low[columns] = torch.tensor([each[1] for each in squashed])
        high[columns] = torch.tensor([each[2] for each in squashed])
        for name, value in (("_is_squashed", is_squashed), ("_low", low), ("_high", high)):
            self.register_buffer(name, value)

    def forward(self, obs: Any, state: Tensor | None = None) -> PolicyOutput:
        """See the class."""
        rows = {key: _stored(self._leaf(obs, key, path)) for key, path in self._paths}
        if not torch.compiler.is_compiling():  # an exporter's example has the shapes of the space
            self._check_shapes(rows)
        inputs = self.network.preprocess.forward(rows)
        params, value, after = self.network.step(inputs, state)
        columns = self.network.dist.mode(params, rows.get(ACTION_MASK))
        if self._squashed:
            columns = self._squash(columns)
        action = joined(self.action_space, self._split(columns))
        return PolicyOutput(action, params, self.network.denormalize_values(value), after if self.state_size else None)

    def _check_shapes(self, rows: Mapping[str, Tensor]) -> None:
        for key, shape in self._shapes.items():
            found = tuple(rows[key].shape)
            if found[1:] != shape or len(found) != len(shape) + 1:
                expected = ", ".join(("N", *map(str, shape)))
                alone = "; one observation is a batch of one: obs[None]" if found == shape else ""
                raise ValueError(f"observation '{key}' has shape {list(found)}, expected [{expected}]{alone}")

    def _leaf(self, obs: Any, key: str, path: tuple[Any, ...]) -> Tensor:
        if isinstance(obs, Mapping) and key in obs:
            return torch.as_tensor(obs[key])
        return torch.as_tensor(given_at(path, obs, self._shapes))

    def _squash(self, columns: Tensor) -> Tensor:
        """As `envs.spaces.Squash`."""
        low, high = self.get_buffer("_low"), self.get_buffer("_high")
        scaled = low + (torch.tanh(columns) + 1.0) * ((high - low) / 2.0)
        return torch.where(self.get_buffer("_is_squashed"), scaled.maximum(low).minimum(high), columns)

    def _split(self, columns: Tensor) -> Iterator[Tensor]:
        parts = columns.split_with_sizes([leaf.size for leaf in self._leaves], -1)
        yield from (leaf.to_env(part) for leaf, part in zip(self._leaves, parts, strict=True))


class _ActionLeaf:
    """Columns [N, size] of one part of an action -> [N, ...] as the environment takes it; as `envs.spaces.ActionLayout`."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.shape = tuple(space.shape or ())
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self._dtype = torch.from_numpy(np.zeros(0, space.dtype)).dtype
        self._start = torch.from_numpy(np.asarray(getattr(space, "start", 0), np.int64))
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(space, spaces.Box):
            low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
            self._bounds = torch.from_numpy(low.copy()), torch.from_numpy(high.copy())

    def to_env(self, columns: Tensor) -> Tensor:
        shaped = columns.reshape(-1, *self.shape)
        if self._bounds is None:
            return (shaped.long() + self._start.to(shaped.device)).to(self._dtype)
        low, high = (bound.to(shaped.device) for bound in self._bounds)
        whole = shaped if self._dtype.is_floating_point else shaped.round()
        return whole.maximum(low).minimum(high).to(self._dtype)


def _stored(x: Tensor) -> Tensor:
    """As observations lie in the engine's arrays: floats as float32, wide unsigned integers as int64."""
    if x.is_floating_point():
        return x.float()
    return x.long() if x.dtype in (torch.uint16, torch.uint32, torch.uint64) else x
