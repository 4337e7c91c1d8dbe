"""Encoders: `(obs_space, cfg) -> nn.Module` with `output_size`, from preprocessed observations to features [N, F].

`obs_space` is a flat Dict (see `spaces.network_space`); rows have the shape that `spaces.network_shape` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.models.layers import ACTIVATIONS, DENSE, HIDDEN_GAIN, Mlp, linear, orthogonal_
from arl_core.models.spaces import image_shape_chw, is_channels_last, is_image, network_shape

MLP_SUBTYPES = ("mlp", "mlp_mujoco")
# (channels, kernel, stride, padding) of each convolution, and the width of the dense layer (None: hidden_size).
_NATURE: tuple[tuple[tuple[int, int, int, int], ...], int | None] = (
    ((32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)),
    512,
)
CONV_SUBTYPES: dict[str, tuple[tuple[tuple[int, int, int, int], ...], int | None]] = {
    "convnet_simple": (((32, 8, 4, 0), (64, 4, 2, 0), (128, 3, 2, 0)), None),
    "convnet_test": _NATURE,
    "nature": _NATURE,
    "convnet_small": (((16, 3, 1, 1), (32, 3, 2, 1), (32, 3, 2, 1)), None),
}
SMALLEST_FOR_STRIDES_PX = 36  # below this the strided networks have no pixels left


def _chosen(cfg: RunConfig, choices: tuple[str, ...]) -> str | None:
    """The configured subtype, checked against what the encoder offers."""
    subtype = cfg.encoder_subtype
    if subtype is not None and subtype not in choices:
        raise UserError(
            f"encoder_subtype '{subtype}' is not one for this observation.{nearest(subtype, choices)} "
            f"Choose from: {', '.join(choices)}"
        )
    return subtype


def _make_mlp(inputs: int, subtype: str | None, cfg: RunConfig) -> Mlp:
    if subtype == "mlp_mujoco":
        return Mlp(inputs, [cfg.hidden_size] * 2, "tanh")
    return Mlp(inputs, [cfg.hidden_size] * cfg.encoder_layers, cfg.nonlinearity)


class _FlatInput(nn.Module):
    """An Mlp over several keys, flattened and concatenated in the order of the space."""

    def __init__(self, obs_space: spaces.Dict, subtype: str | None, cfg: RunConfig) -> None:
        super().__init__()
        self._keys = tuple(obs_space.spaces)
        inputs = sum(math.prod(network_shape(space)) for space in obs_space.spaces.values())
        self.mlp = _make_mlp(inputs, subtype, cfg)
        self.output_size = self.mlp.output_size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{key: [N, ...]} -> [N, output_size]."""
        if len(self._keys) == 1:
            x = obs[self._keys[0]]
            return self.mlp.forward(x if x.dim() == 2 else x.flatten(1))
        return self.mlp.forward(torch.cat([obs[key].flatten(1) for key in self._keys], 1))


class MlpEncoder(_FlatInput):
    """Dense layers over all keys. Subtypes: mlp (`encoder_layers` of `hidden_size`), mlp_mujoco (2 of them, tanh)."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__(obs_space, _chosen(cfg, MLP_SUBTYPES), cfg)


class ConvNet(nn.Module):
    """Convolutions and one dense layer over one image [N, C, H, W] or, where the space says so, [N, H, W, C].

    Subtypes (channels@kernel, s stride): convnet_simple 32@8s4, 64@4s2, 128@3s2 (Sample Factory); convnet_test or
    nature 32@8s4, 64@4s2, 64@3s1 and a dense layer of 512 (Mnih et al. 2015); convnet_small 16@3s1, 32@3s2, 32@3s2,
    padded, for small images. The dense layer has `hidden_size` units, but for nature.
    """

    def __init__(self, key: str, space: spaces.Space[object], subtype: str | None, cfg: RunConfig) -> None:
        super().__init__()
        channels, height, width = image_shape_chw(space)
        is_small = min(height, width) < SMALLEST_FOR_STRIDES_PX
        name = subtype or ("convnet_small" if is_small else "convnet_simple")
        if is_small and name != "convnet_small":
            raise UserError(
                f"encoder_subtype '{name}' needs images of at least {SMALLEST_FOR_STRIDES_PX} px; "
                f"observation '{key}' is {height}x{width}. Use convnet_small"
            )
        layers, dense_size = CONV_SUBTYPES[name]
        self.convolutions = nn.ModuleList()
        for filters, kernel, stride, padding in layers:
            layer = nn.Conv2d(channels, filters, kernel, stride, padding)
            assert layer.bias is not None
            orthogonal_(layer.weight, layer.bias, HIDDEN_GAIN)
            self.convolutions.append(layer)
            channels = filters
            height, width = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        self.output_size = dense_size or cfg.hidden_size
        self.dense = linear(channels * height * width, self.output_size)
        assert space.shape is not None
        self._permute = is_channels_last(space.shape)
        self._nonlinearity = cfg.nonlinearity

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] or [N, H, W, C] -> [N, output_size]."""
        activation = ACTIVATIONS[self._nonlinearity]
        if self._permute:
            x = x.permute(0, 3, 1, 2)
        for layer in self.convolutions:
            x = activation(layer(x))
        return DENSE[self._nonlinearity](x.flatten(1), self.dense.weight, self.dense.bias)


class MultiInputEncoder(nn.Module):
    """A ConvNet for each image key, one Mlp for the rest; features concatenated, images first."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__()
        subtype = _chosen(cfg, (*CONV_SUBTYPES, *MLP_SUBTYPES))
        conv_subtype = subtype if subtype in CONV_SUBTYPES else None
        images = {key: space for key, space in obs_space.spaces.items() if is_image(space)}
        others = {key: space for key, space in obs_space.spaces.items() if key not in images}
        self._image_keys = tuple(images)
        self.images = nn.ModuleList(ConvNet(key, space, conv_subtype, cfg) for key, space in images.items())
        self.rest: _FlatInput | None = None
        if others:
            mlp_subtype = subtype if subtype in MLP_SUBTYPES else None
            self.rest = _FlatInput(spaces.Dict(others), mlp_subtype, cfg)
        parts = [*self.images, *([self.rest] if self.rest is not None else [])]
        self.output_size = sum(int(part.output_size) for part in parts)

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{key: [N, ...]} -> [N, output_size]."""
        features = [net(obs[key]) for key, net in zip(self._image_keys, self.images, strict=True)]
        if self.rest is not None:
            features.append(self.rest.forward(obs))
        return features[0] if len(features) == 1 else torch.cat(features, 1)


class ConvEncoder(MultiInputEncoder):
    """Convolutions for observations that are images (Boxes of three axes) and nothing else."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        for key, space in obs_space.spaces.items():
            if not is_image(space):
                raise UserError(
                    f"encoder 'conv' needs image observations (three axes), but '{key}' has shape "
                    f"{network_shape(space)}; use encoder 'mlp', or leave encoder unset to mix both"
                )
        _chosen(cfg, tuple(CONV_SUBTYPES))
        super().__init__(obs_space, cfg)


def default_encoder(obs_space: spaces.Dict, cfg: RunConfig) -> nn.Module:
    """The encoder that fits the space: convolutions for images, dense layers for the rest."""
    kinds = {is_image(space) for space in obs_space.spaces.values()}
    if kinds == {True}:
        return ConvEncoder(obs_space, cfg)
    if kinds == {False}:
        return MlpEncoder(obs_space, cfg)
    return MultiInputEncoder(obs_space, cfg)
