"""Encoders: `(obs_space, cfg) -> nn.Module` with `output_size`, from preprocessed observations to features [N, F].

`obs_space` is a flat Dict (see `spaces.network_space`); rows have the shape that `spaces.network_shape` says. A name of
`convnets.NETWORKS` or `MLPS` is an encoder by itself and, as `encoder_subtype`, a choice within the encoders that hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.config.layers import nearest
from arl_core.interfaces import UserError
from arl_core.models.convnets import NETWORKS, ConvNet
from arl_core.models.layers import Mlp
from arl_core.models.spaces import network_shape
from arl_core.spaces import is_image

MLPS = ("mlp", "mlp_mujoco")


def _chosen(cfg: RunConfig, choices: Sequence[str], named: str | None = None) -> str | None:
    """The network that `encoder_subtype` says, or `named`, which the encoder's own name says. Raises UserError for one that
    is unknown, is another kind's, or contradicts the name."""
    subtype = cfg.encoder_subtype
    if subtype is None or subtype == named:
        return named
    if named is not None:
        hint = "" if subtype in (*NETWORKS, *MLPS) else nearest(subtype, [*NETWORKS, *MLPS])
        raise UserError(
            f"encoder '{named}' says which network, and encoder_subtype '{subtype}' contradicts it: leave one out.{hint}"
        )
    if subtype not in choices:
        raise UserError(
            f"encoder_subtype '{subtype}' is not one for this encoder and observation.{nearest(subtype, choices)} "
            f"Choose from: {', '.join(choices)}"
        )
    return subtype


class _FlatInput(nn.Module):
    """An Mlp over several keys, flattened and concatenated in the order of the space."""

    def __init__(self, obs_space: spaces.Dict, network: str | None, cfg: RunConfig) -> None:
        super().__init__()
        self._keys = tuple(obs_space.spaces)
        inputs = sum(math.prod(network_shape(space)) for space in obs_space.spaces.values())
        if network == "mlp_mujoco":
            self.mlp = Mlp(inputs, [cfg.hidden_size] * 2, "tanh")
        else:
            self.mlp = Mlp(inputs, [cfg.hidden_size] * cfg.encoder_layers, cfg.nonlinearity)
        self.output_size = self.mlp.output_size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{key: [N, ...]} -> [N, output_size]."""
        if len(self._keys) == 1:
            x = obs[self._keys[0]]
            return self.mlp.forward(x if x.dim() == 2 else x.flatten(1))
        return self.mlp.forward(torch.cat([obs[key].flatten(1) for key in self._keys], 1))


class MlpEncoder(_FlatInput):
    """Dense layers over all keys: mlp (`encoder_layers` of `hidden_size`) or mlp_mujoco (2 of `hidden_size`, tanh)."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig, network: str | None = None) -> None:
        super().__init__(obs_space, _chosen(cfg, MLPS, network), cfg)


class _Images(nn.Module):
    """A ConvNet for each key, all of one network; features concatenated in the order of the space."""

    def __init__(self, obs_space: spaces.Dict, network: str | None, cfg: RunConfig) -> None:
        super().__init__()
        self._keys = tuple(obs_space.spaces)
        nets = [ConvNet(key, space, network, cfg) for key, space in obs_space.spaces.items()]
        self.nets = nn.ModuleList(nets)
        self.output_size = sum(net.output_size for net in nets)

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{key: [N, C, H, W]} -> [N, output_size]."""
        features = [net(obs[key]) for key, net in zip(self._keys, self.nets, strict=True)]
        return features[0] if len(features) == 1 else torch.cat(features, 1)


class ConvEncoder(_Images):
    """Convolutions for observations that are images (Boxes of three axes) and nothing else."""

    def __init__(
        self,
        obs_space: spaces.Dict,
        cfg: RunConfig,
        network: str | None = None,
        choices: Sequence[str] = tuple(NETWORKS),
    ) -> None:
        for key, space in obs_space.spaces.items():
            if not is_image(space):
                raise UserError(
                    f"encoder '{network or 'conv'}' needs image observations (three axes), but '{key}' has shape "
                    f"{network_shape(space)}. {_instead_of_images(obs_space, space)}"
                )
        super().__init__(obs_space, _chosen(cfg, choices, network), cfg)


def _instead_of_images(obs_space: spaces.Dict, other: spaces.Space[Any]) -> str:
    """What to choose where `other` of the observations is no image."""
    if any(map(is_image, obs_space.spaces.values())):
        return "Choose encoder multi, for images and the rest"
    if len(network_shape(other)) > 3:
        return "Choose encoder mlp, or join a stack of images on their channels (wrapper frame-stack does)"
    return "Choose encoder mlp: there is no image"


class ResnetEncoder(ConvEncoder):
    """`ConvEncoder` with a residual network."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        name = "resnet_impala"
        super().__init__(obs_space, cfg, name if cfg.encoder_subtype in (None, name) else None, (name,))


class MultiInputEncoder(nn.Module):
    """A ConvNet for each image key, one Mlp for the rest; features concatenated, images first.

    `encoder_subtype` chooses the network of the part that has it.
    """

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__()
        images, others = _split(obs_space)
        network = _chosen(cfg, [*(NETWORKS if images.spaces else ()), *(MLPS if others.spaces else ())])
        self.images: _Images | None = None
        self.rest: _FlatInput | None = None
        self.output_size = 0
        if images.spaces:
            self.images = _Images(images, network if network in NETWORKS else None, cfg)
            self.output_size += self.images.output_size
        if others.spaces:
            self.rest = _FlatInput(others, network if network in MLPS else None, cfg)
            self.output_size += self.rest.output_size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{key: [N, ...]} -> [N, output_size]."""
        features = [part.forward(obs) for part in (self.images, self.rest) if part is not None]
        return features[0] if len(features) == 1 else torch.cat(features, 1)


def _split(obs_space: spaces.Dict) -> tuple[spaces.Dict, spaces.Dict]:
    """The images of a space, and the rest."""
    images = {key: space for key, space in obs_space.spaces.items() if is_image(space)}
    rest = {key: space for key, space in obs_space.spaces.items() if key not in images}
    return spaces.Dict(images), spaces.Dict(rest)


def default_encoder(obs_space: spaces.Dict, cfg: RunConfig) -> nn.Module:
    """The encoder that fits the space: convolutions for images, dense layers for the rest."""
    images, others = _split(obs_space)
    if images.spaces and others.spaces:
        return MultiInputEncoder(obs_space, cfg)
    return ConvEncoder(obs_space, cfg) if images.spaces else MlpEncoder(obs_space, cfg)


# encoders that are one network each, by its name
mlp_mujoco = partial(MlpEncoder, network="mlp_mujoco")
convnet_simple = partial(ConvEncoder, network="convnet_simple")
convnet_small = partial(ConvEncoder, network="convnet_small")
convnet_impala = partial(ConvEncoder, network="convnet_impala")
convnet_test = partial(ConvEncoder, network="convnet_test")
nature = partial(ConvEncoder, network="nature")
minigrid_convnet_tiny = partial(ConvEncoder, network="minigrid_convnet_tiny")
resnet_impala = partial(ConvEncoder, network="resnet_impala")
