"""From raw observations to float32 network inputs, running statistics included."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.spaces import network_shape, network_space

CLIP_STDDEVS = 5.0
VARIANCE_EPS = 1e-5
_FLOATS = (np.float32, np.float64)  # both lie in memory as float32
MAX_CLASSES = 1 << 20  # of a one-hot observation: the first layer alone would have a weight for each and each unit


class RunningNorm(nn.Module):
    """Normalises by the running mean and variance of everything it was updated with, clipped to +-5 deviations.

    Statistics are float64 (a float32 sum stalls after some ten million frames); the float32 `shift` and `scale` that
    `forward` uses are derived from them. All are buffers and are changed in place, so flat views of them stay alive.
    """

    mean: Tensor
    m2: Tensor
    count: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("m2", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """[N, ...] of any dtype -> float32 [N, ...]."""
        return x.sub(self.shift).mul_(self.scale).clamp_(-CLIP_STDDEVS, CLIP_STDDEVS).float()

    @torch.no_grad()
    def update(self, x: Tensor, valid: Tensor) -> None:
        """Merge the rows x [N, ...] where valid [N] (Chan, Golub & LeVeque 1979, pairwise update of mean and M2)."""
        keep = valid.view(-1, *[1] * (x.dim() - 1))
        rows = torch.where(keep, x.double(), 0.0)
        added = valid.sum(dtype=torch.float64)
        batch_mean = rows.sum(0) / added.clamp(min=1.0)
        batch_m2 = torch.where(keep, rows - batch_mean, 0.0).square().sum(0)
        total = self.count + added
        weight = added / total.clamp(min=1.0)
        delta = batch_mean - self.mean
        self.mean.add_(delta * weight)
        self.m2.add_(batch_m2 + delta.square() * (self.count * weight))
        self.count.copy_(total)
        self._derive()

    def _derive(self) -> None:
        variance = self.m2 / self.count.clamp(min=1.0)
        fresh = self.count == 0
        self.shift.copy_(self.mean)
        self.scale.copy_(torch.where(fresh, 1.0, (variance + VARIANCE_EPS).rsqrt()))


def _to_float(x: Tensor) -> Tensor:
    return x if x.dtype is torch.float32 else x.float()


def _scalar(x: Tensor, convert: Callable[[Tensor], Tensor]) -> Tensor:
    return convert(x.unsqueeze(-1))


def _pixels(x: Tensor, offset: float, scale: float) -> Tensor:
    x = x * (1.0 / scale)
    return x.sub_(offset / scale) if offset else x


class OutsideSpace(ValueError):
    """An environment gave a class that its space has not. No `UserError`: what happens once in a long run costs a restart."""


def _one_hot(x: Tensor, num_classes: int, start: int, key: str) -> Tensor:
    indices = x.long()
    try:
        return F.one_hot(indices - start if start else indices, num_classes).float()
    except RuntimeError as error:  # torch does not say which observation, nor what it is
        wrong = indices[(indices < start) | (indices >= start + num_classes)]
        if not len(wrong):
            raise
        told = f"observation '{key}' is {int(wrong[0])}, its space has {start} to {start + num_classes - 1}"
        raise OutsideSpace(told) from error


def _one_hots(x: Tensor, sizes: tuple[int, ...], starts: tuple[int, ...], key: str) -> Tensor:
    columns = x.flatten(1).unbind(1)
    return torch.cat([_one_hot(*column, key) for column in zip(columns, sizes, starts, strict=True)], 1)


class Preprocessor(nn.Module):
    """Raw observations {key: [N, ...]} of `obs_space` to float32 inputs of `network_shape`; drops "action_mask".

    uint8 Boxes: (x - obs_subtract_mean) / obs_scale. Discrete and MultiDiscrete: one-hot, `start` subtracted.
    MultiBinary and bool: 0 and 1. Other Boxes: as they are or, with `normalize_input`, normalised by `RunningNorm`.
    """

    def __init__(self, obs_space: spaces.Space[Any], cfg: RunConfig) -> None:
        super().__init__()
        self._norms: dict[str, RunningNorm] = {}
        self._steps = tuple((key, self._step(key, space, cfg)) for key, space in network_space(obs_space).items())
        self.norms = nn.ModuleList(self._norms.values())
        # the key and the normaliser where all that a network sees is one Box of floats, as it is or normalised
        self.vector: tuple[str, RunningNorm | None] | None = None
        keys = network_space(obs_space)
        if len(keys) == 1 and isinstance(space := keys[key := next(iter(keys))], spaces.Box) and space.dtype in _FLOATS:
            self.vector = (key, self._norms.get(key))

    def _step(self, key: str, space: spaces.Space[Any], cfg: RunConfig) -> Callable[[Tensor], Tensor]:
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and math.prod(network_shape(space)) > MAX_CLASSES:
            raise UserError(
                f"observation '{key}' has {math.prod(network_shape(space))} classes, more than one-hot inputs are made for "
                f"({MAX_CLASSES}); wrap the environment to give a Box"
            )
        if isinstance(space, spaces.Discrete):
            return partial(_one_hot, num_classes=int(space.n), start=int(space.start), key=key)
        if isinstance(space, spaces.MultiDiscrete):
            sizes, starts = np.ravel(space.nvec).tolist(), np.ravel(space.start).tolist()
            return partial(_one_hots, sizes=tuple(sizes), starts=tuple(starts), key=key)
        convert: Callable[[Tensor], Tensor] = _to_float
        if isinstance(space, spaces.Box):
            if space.dtype == np.uint8:
                convert = partial(_pixels, offset=cfg.obs_subtract_mean, scale=cfg.obs_scale)
            elif cfg.normalize_input and space.dtype != np.bool_:
                self._norms[key] = RunningNorm(space.shape)
                convert = self._norms[key].forward
        return convert if space.shape else partial(_scalar, convert=convert)

    def forward(self, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{key: [N, ...]} of the environment's dtypes -> {key: float32 [N, ...]}."""
        return {key: step(obs[key]) for key, step in self._steps}

    def update(self, obs: Mapping[str, Tensor], valid: Tensor) -> None:
        """Merge the rows {key: [N, ...]} where valid [N] into the running statistics."""
        for key, norm in self._norms.items():
            norm.update(obs[key], valid)
