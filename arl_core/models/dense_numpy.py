"""Acting with small dense networks in NumPy: the same weights, the same noise, the same actions, fewer instructions.

A step of 32 environments costs a 2x64 network about ten calls, each of a few microseconds of arithmetic. torch's calls cost
several times that once an environment's code has emptied the caches (benchmarks/LOG.md). From a certain width on its matrix
products win, so `dense_policy` gives such networks back to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arl_core.models.actor_critic import ActorCritic, Tower
from arl_core.models.encoders import MlpEncoder
from arl_core.models.layers import Mlp
from arl_core.models.policy import PolicyNetwork
from arl_core.models.preprocess import CLIP_STDDEVS, RunningNorm

Floats = NDArray[np.float32]
MAX_WEIGHTS = 128 * 128  # of one layer; larger products are faster in torch (benchmarks/LOG.md)


def _elu(x: Floats) -> None:
    np.copyto(x, np.expm1(np.minimum(x, 0.0)), where=x < 0.0)


_ACTIVATIONS: dict[str, Callable[[Floats], Any]] = {
    "tanh": lambda x: np.tanh(x, out=x),
    "relu": lambda x: np.maximum(x, 0.0, out=x),
    "elu": _elu,
}


class _Layer(NamedTuple):
    source: Floats  # [O, I], the module's own memory
    weight: Floats  # [I, O], a copy laid out for x @ weight
    bias: Floats  # [O], the module's own memory


class _DenseTower:
    """One tower's layers and head, on the memory of its module."""

    def __init__(self, mlp: Mlp, tower: Tower, columns: list[tuple[slice, slice]]) -> None:
        pairs = [*mlp.weights, (tower.head.weight, tower.head.bias)]
        self._layers = []
        for weight, bias in pairs:
            source = weight.detach().numpy()
            self._layers.append(_Layer(source, np.empty(source.shape[::-1], np.float32), bias.detach().numpy()))
        self._activate = _ACTIVATIONS[mlp.nonlinearity]
        self._columns = columns  # pairs: of the outputs, of the head
        self._hidden: dict[int, list[Floats]] = {}  # rows -> what each layer but the head writes to

    def refresh(self) -> None:
        for layer in self._layers:
            np.copyto(layer.weight, layer.source.T)

    def forward(self, x: Floats, outputs: Floats) -> None:
        rows = len(x)
        hidden = self._hidden.get(rows)
        if hidden is None:
            hidden = self._hidden[rows] = [np.empty((rows, len(layer.bias)), np.float32) for layer in self._layers[:-1]]
        for layer, y in zip(self._layers, hidden, strict=False):  # strict: the head is the last, below
            np.dot(x, layer.weight, out=y)
            np.add(y, layer.bias, out=y)
            self._activate(y)
            x = y
        head = self._layers[-1]
        y = np.dot(x, head.weight)
        for target, source in self._columns:
            np.add(y[:, source], head.bias[source], out=outputs[:, target])


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
        x = obs[self._key]
        if x.ndim != 2:
            x = x.reshape(len(x), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # as in torch: what is not finite is found in the slot
            if self._norm is not None:
                shift, scale = self._norm
                x = x - shift
                x *= scale
                np.clip(x, -CLIP_STDDEVS, CLIP_STDDEVS, out=x)
            for tower in self._towers:
                tower.forward(x, outputs)
        if self._free is not None:
            outputs[:, self._free_columns] = self._free


def dense_policy(model: PolicyNetwork) -> DensePolicy | None:
    """`model` (on a CPU, flattened) as a `DensePolicy`; None where it is more than small dense layers over one vector."""
    if type(model) is not ActorCritic:
        return None
    vector = model.preprocess.vector
    towers = [model.actor] if model.critic is None else [model.actor, model.critic]
    # exactly this class: one that is derived from it may compute something else
    mlps = [tower.encoder.mlp for tower in towers if type(tower.encoder) is MlpEncoder and tower.core is None]
    if vector is None or len(mlps) < len(towers) or not all(map(_is_small, mlps)):
        return None
    return DensePolicy(model, *vector, mlps)


def _is_small(mlp: Mlp) -> bool:
    return not mlp.has_spectral_norm and all(weight.numel() <= MAX_WEIGHTS for weight, _ in mlp.weights)
