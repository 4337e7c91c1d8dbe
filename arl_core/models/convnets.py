"""Convolutional networks over one image, by the names that users of Sample Factory and the papers know.

What Sample Factory 1.23 calls `encoder_subtype`: convnet_simple, convnet_impala, minigrid_convnet_tiny (of encoder conv),
resnet_impala (of resnet), mlp_mujoco (of mlp; see `encoders`). `convnet_test` is no name of Sample Factory's own; here it
is `nature`, as it always was.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.layers import ACTIVATIONS_INPLACE, HIDDEN_GAIN, Mlp, orthogonal_
from arl_core.models.spaces import image_shape_chw
from arl_core.spaces import is_channels_last


class Conv(NamedTuple):
    """One convolution."""

    filters: int
    kernel: int
    stride: int
    padding: int = 0

    def size(self, before: int) -> int:
        """Pixels along an axis after it; 0 or less where it does not fit."""
        return (before + 2 * self.padding - self.kernel) // self.stride + 1

    def smallest(self, after: int) -> int:
        """Pixels along an axis that it needs to leave `after`."""
        return max(1, (after - 1) * self.stride + self.kernel - 2 * self.padding)


class Network(NamedTuple):
    """Convolutions in a row, or the stages of a residual network. `activation` None: the configured `nonlinearity`."""

    layers: tuple[Conv, ...] = ()
    stages: tuple[int, ...] = ()
    activation: str | None = None


_NATURE = Network((Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1)), activation="relu")
NETWORKS: dict[str, Network] = {
    "convnet_simple": Network((Conv(32, 8, 4), Conv(64, 4, 2), Conv(128, 3, 2))),
    "convnet_small": Network((Conv(16, 3, 1, 1), Conv(32, 3, 2, 1), Conv(32, 3, 2, 1))),
    "convnet_impala": Network((Conv(16, 8, 4), Conv(32, 4, 2)), activation="relu"),
    "nature": _NATURE,
    "convnet_test": _NATURE,
    "minigrid_convnet_tiny": Network((Conv(16, 3, 1), Conv(32, 2, 1), Conv(64, 2, 1))),
    "resnet_impala": Network(stages=(16, 32, 32), activation="relu"),
}
_FITS_EVERYTHING = "convnet_small"
_BLOCKS_PER_STAGE = 2


def smallest_image_px(network: Network) -> int:
    """The shorter side of the smallest image that a network takes."""
    needed = 1
    for layer in reversed(network.layers):
        needed = layer.smallest(needed)
    return needed


class ConvNet(nn.Module):
    """A network of `NETWORKS` and `encoder_extra_fc_layers` of `hidden_size`, over one image [N, C, H, W] or, where the
    space says so, [N, H, W, C].

    `name` None: convnet_simple or, where that does not fit, convnet_small. Raises UserError, naming the layer, for an image
    that is too small.
    """

    def __init__(self, key: str, space: spaces.Space[object], name: str | None, cfg: RunConfig) -> None:
        super().__init__()
        channels, height, width = image_shape_chw(space)
        if name is None:
            fits = min(height, width) >= smallest_image_px(NETWORKS["convnet_simple"])
            name = "convnet_simple" if fits else _FITS_EVERYTHING
        network = NETWORKS[name]
        _check_size(key, height, width, name)
        activation = network.activation or cfg.nonlinearity
        self.body: Strided | Residual = Residual(channels, network.stages) if network.stages else Strided(
            channels, network.layers, activation
        )  # fmt: skip
        channels, height, width = self.body.output_shape(height, width)
        self.dense = Mlp(channels * height * width, [cfg.hidden_size] * cfg.encoder_extra_fc_layers, activation)
        self.output_size = self.dense.output_size
        assert space.shape is not None
        self._permute = is_channels_last(space.shape)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] or [N, H, W, C] -> [N, output_size]."""
        if self._permute:
            x = x.permute(0, 3, 1, 2)
        if x.is_cpu:  # a CPU's convolutions and poolings are faster in this format: measured in docs/encoders.md
            x = x.contiguous(memory_format=torch.channels_last)
        return self.dense.forward(self.body.forward(x).flatten(1))


def _check_size(key: str, height: int, width: int, name: str) -> None:
    high, wide = height, width
    for number, layer in enumerate(NETWORKS[name].layers, 1):
        if min(layer.size(high), layer.size(wide)) < 1:
            least = smallest_image_px(NETWORKS[name])
            sees = f"would see {high}x{wide} px" if number > 1 else "does not fit"
            raise UserError(
                f"encoder '{name}' needs images of at least {least}x{least} px; observation '{key}' is {height}x{width}: "
                f"its convolution {number} ({layer.kernel}x{layer.kernel}) {sees}. Use {_FITS_EVERYTHING} or resnet_impala"
            )
        high, wide = layer.size(high), layer.size(wide)


def _conv(inputs: int, layer: Conv, gain: float = HIDDEN_GAIN) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, layer.filters, layer.kernel, layer.stride, layer.padding)
    assert conv.bias is not None
    orthogonal_(conv.weight, conv.bias, gain)
    return conv


class Strided(nn.Module):
    """Convolutions in a row, each with its activation; [N, C, H, W] -> [N, C', H', W']."""

    def __init__(self, channels: int, layers: tuple[Conv, ...], activation: str) -> None:
        super().__init__()
        inputs = [channels, *(layer.filters for layer in layers)]
        self.convolutions = nn.ModuleList(_conv(before, layer) for before, layer in zip(inputs, layers, strict=False))
        self._layers = layers
        self._activation = ACTIVATIONS_INPLACE[activation]

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """C', H', W' for an image of that size."""
        for layer in self._layers:
            height, width = layer.size(height), layer.size(width)
        return self._layers[-1].filters, height, width

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        for layer in self.convolutions:
            x = self._activation(layer(x))
        return x


class Residual(nn.Module):
    """The deep network of IMPALA (Espeholt et al. 2018, figure 3): each stage a 3x3 convolution, 3x3 max-pooling of stride
    2, two residual blocks (ReLU, 3x3 convolution, ReLU, 3x3 convolution, sum); ReLU at the end."""

    _POOL = Conv(0, 3, 2, 1)

    def __init__(self, channels: int, stages: tuple[int, ...]) -> None:
        super().__init__()
        # a block's second convolution: small at first, so that features do not grow with depth by the sums
        gain = HIDDEN_GAIN / math.sqrt(_BLOCKS_PER_STAGE * len(stages))
        self.entries, self.blocks = nn.ModuleList(), nn.ModuleList()
        for filters in stages:
            layer = Conv(filters, 3, 1, 1)
            self.entries.append(_conv(channels, layer))
            for _ in range(_BLOCKS_PER_STAGE):
                self.blocks.extend((_conv(filters, layer), _conv(filters, layer, gain)))
            channels = filters
        self._stages = stages

    def output_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """C', H', W' for an image of that size."""
        for _ in self._stages:
            height, width = self._POOL.size(height), self._POOL.size(width)
        return self._stages[-1], height, width

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        blocks = iter(self.blocks)
        for entry in self.entries:
            x = F.max_pool2d(entry(x), 3, 2, 1)
            for _ in range(_BLOCKS_PER_STAGE):
                first, second = next(blocks), next(blocks)
                x = x + second(torch.relu_(first(torch.relu(x))))
        return torch.relu(x)
