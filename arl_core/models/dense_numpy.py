"""Acting with small dense networks in NumPy: the same weights, the same noise, the same actions, fewer instructions.

A step of 32 environments costs a 2x64 network about ten calls, each of a few microseconds of arithmetic. torch's calls cost
several times that once an environment's code has emptied the caches (benchmarks/LOG.md). From a certain width on its matrix
products win, so `dense_policy` gives such networks back to torch.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from arl_core.models.actor_critic import ActorCritic, Tower
from arl_core.models.encoders import MlpEncoder
from arl_core.models.layers import Mlp
from arl_core.models.policy import PolicyNetwork
from arl_core.models.preprocess import CLIP_STDDEVS, RunningNorm

Floats = NDArray[np.float32]
MAX_WEIGHTS = 128 * 128  # of one layer; larger products are faster in torch (benchmarks/LOG.md)


def _elu(x: Floats) -> None:
    np.copyto(x, np.expm1(np.minimum(x, 0.0)), where=x < 0.0)


# in place; and what it makes exactly 1 of
_ACTIVATIONS: dict[str, tuple[Callable[[Floats], Any], float]] = {
    "tanh": (lambda x: np.tanh(x, out=x), 20.0),
    "relu": (lambda x: np.maximum(x, 0.0, out=x), 1.0),
    "elu": (_elu, 1.0),
}


class _Layer(NamedTuple):
    weight: Floats  # [O, I], the module's own memory
    bias: Floats  # [O], the module's own memory
    # [I + 1, O + 1] of both for x @ joined, where x ends in a column of ones; [I + 1, O] of the last layer
    joined: Floats


class _Buffer:
    """Memory for [N, `width`], whatever N is: that of the largest N so far, which begins as ones."""

    def __init__(self, width: int) -> None:
        self.rows: Floats = np.ones((0, width), np.float32)
        self._whole = self.rows

    def resize(self, count: int) -> None:
        """Make `rows` so many."""
        if count > len(self._whole):
            self._whole = np.ones((count, self._whole.shape[1]), np.float32)
        self.rows = self._whole[:count]


class _DenseTower:
    """One tower's layers and head, on the memory of its module.

    The bias is one more row of the weights and its input one more unit, which is always 1: a product does what would be a
    product and a sum, and a sum of 2,048 numbers costs as much as its product once they have left the cache.
    """

    def __init__(self, mlp: Mlp, tower: Tower, columns: list[tuple[slice, slice]]) -> None:
        self._layers = [_layer(weight, bias, 1) for weight, bias in mlp.weights]
        self._head = _layer(tower.head.weight, tower.head.bias, 0)
        self._activate, self._one = _ACTIVATIONS[mlp.nonlinearity]
        self._columns = columns  # pairs: of the outputs, of the head
        self._is_whole = columns == [(slice(None), slice(None))]
        self.width = len((*self._layers, self._head)[0].joined)  # of what it reads, with its ones
        self._buffers = [_Buffer(layer.joined.shape[1]) for layer in self._layers]
        self._hidden: list[Floats] = []  # what each layer but the head writes to

    def refresh(self) -> None:
        for layer in (*self._layers, self._head):
            outputs = len(layer.bias)
            np.copyto(layer.joined[:-1, :outputs], layer.weight.T)
            np.copyto(layer.joined[-1, :outputs], layer.bias)
            layer.joined[-1, outputs:] = self._one

    def resize(self, count: int) -> None:
        """Compute for so many rows from now on."""
        for buffer in self._buffers:
            buffer.resize(count)
        self._hidden = [buffer.rows for buffer in self._buffers]

    def forward(self, x: Floats, outputs: Floats) -> None:
        """Write the head's columns for `x` [N, I + 1] (with its ones) to `outputs` [N, P+1], N as of `resize`."""
        for layer, y in zip(self._layers, self._hidden, strict=True):
            np.dot(x, layer.joined, out=y)
            self._activate(y)
            x = y
        if self._is_whole:
            np.dot(x, self._head.joined, out=outputs)
            return
        y = np.dot(x, self._head.joined)
        for target, source in self._columns:
            outputs[:, target] = y[:, source]


def _layer(weight: Tensor, bias: Tensor, ones: int) -> _Layer:
    size, inputs = weight.shape
    joined = np.zeros((inputs + 1, size + ones), np.float32)
    return _Layer(weight.detach().numpy(), bias.detach().numpy(), joined)


class DensePolicy:
    """What `ActorCritic.outputs_into` and `ActionDist.choose_into` do, for arrays in this process's memory."""

    def __init__(self, model: ActorCritic, key: str, norm: RunningNorm | None, mlps: list[Mlp]) -> None:
        self._key = key
        self._norm = None if norm is None else (norm.shift.numpy().reshape(-1), norm.scale.numpy().reshape(-1))
        policy, value = slice(None, model.dist.head_size), slice(-1, None)
        towers = [(model.actor, [(policy, policy), (value, value)])]
        if model.critic is not None:
            towers = [(model.actor, [(policy, policy)]), (model.critic, [(value, value)])]
        elif model.free_params is None:
            towers = [(model.actor, [(slice(None), slice(None))])]
        self._towers = [_DenseTower(mlp, *tower) for mlp, tower in zip(mlps, towers, strict=True)]
        self._free_source = None if model.free_params is None else model.free_params.detach().numpy()
        self._free = None if self._free_source is None else np.empty_like(self._free_source)
        self._free_limits = model.dist.free_limits
        self._free_columns = slice(model.dist.head_size, model.dist.params_size)
        # What is not finite passes without a warning, as in torch (it is found in the slot). NumPy keeps such settings in a
        # context variable; entering a context that has them is a tenth of the price of `np.errstate`.
        self._silent = contextvars.copy_context()
        self._silent.run(np.seterr, over="ignore", invalid="ignore")
        self._buffer = _Buffer(self._towers[0].width)
        self._inputs = self._buffer.rows  # what the towers read
        self.choose_into = model.dist.choose_numpy_into
        self.refresh()

    def refresh(self) -> None:
        """Take over the module's weights, which were replaced in place."""
        for tower in self._towers:
            tower.refresh()
        if self._free is not None and self._free_source is not None:
            np.clip(self._free_source, *self._free_limits, out=self._free)

    def outputs_into(self, obs: Mapping[str, NDArray[Any]], outputs: Floats) -> None:
        """Write distribution parameters and value of obs {key: [N, ...]} into `outputs` [N, P+1]."""
        self._silent.run(self._forward, obs[self._key], outputs)
        if self._free is not None:
            outputs[:, self._free_columns] = self._free

    def _forward(self, obs: NDArray[Any], outputs: Floats) -> None:
        x = self._inputs_of(obs)
        for tower in self._towers:
            tower.forward(x, outputs)

    def _resize(self, count: int) -> None:
        self._buffer.resize(count)
        self._inputs = self._buffer.rows
        for tower in self._towers:
            tower.resize(count)

    def _inputs_of(self, obs: NDArray[Any]) -> Floats:
        """Observations [N, ...], normalised, and a column of ones: [N, I + 1]."""
        if obs.ndim != 2:
            obs = obs.reshape(len(obs), -1)
        if len(obs) != len(self._inputs):
            self._resize(len(obs))
        joined = self._inputs
        x = joined[:, :-1]
        if self._norm is None:
            np.copyto(x, obs, casting="unsafe")
            return joined
        shift, scale = self._norm
        np.subtract(obs, shift, out=x, casting="unsafe")
        np.multiply(x, scale, out=x)
        np.clip(x, -CLIP_STDDEVS, CLIP_STDDEVS, out=x)
        return joined


def dense_policy(model: PolicyNetwork) -> DensePolicy | None:
    """`model` (on a CPU, flattened) as a `DensePolicy`; None where it is more than small dense layers over one vector."""
    if type(model) is not ActorCritic:
        return None
    vector = model.preprocess.vector
    towers = [model.actor] if model.critic is None else [model.actor, model.critic]
    # exactly this class: one that is derived from it may compute something else
    mlps = [tower.encoder.mlp for tower in towers if type(tower.encoder) is MlpEncoder and tower.core is None]
    if vector is None or model.actor.is_bfloat16 or len(mlps) < len(towers) or not all(map(_is_small, mlps)):
        return None
    return DensePolicy(model, *vector, mlps)


def _is_small(mlp: Mlp) -> bool:
    return not mlp.has_spectral_norm and all(weight.numel() <= MAX_WEIGHTS for weight, _ in mlp.weights)
