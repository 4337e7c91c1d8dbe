"""Networks for glyphs; pixels go to the core's convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.encoders import default_encoder
from arl_core.models.layers import ACTIVATIONS, Mlp
from arl_plugin_minihack.observe import MAP_SHAPE, NO_GLYPH, NUM_BLSTATS

EMBEDDING_SIZE = 8  # small: the learner updates the whole table at every step
CHANNELS = 16
_PATCH = (3, 4)  # rows, columns
_CONDITION = 25  # the status line's place of a bit mask
_CONDITION_BITS = 13
_LOG_SCALE = 0.2  # log(1 + 150) is 1, log(1 + 20,000) is 2


def make_auto(obs_space: spaces.Dict, cfg: RunConfig) -> nn.Module:
    """The encoder for what is observed: map and crop, a crop alone, or an image."""
    if "glyphs" in obs_space.spaces:
        return GlyphEncoder(obs_space, cfg)
    return CropEncoder(obs_space, cfg) if "glyphs_crop" in obs_space.spaces else default_encoder(obs_space, cfg)


class CropEncoder(nn.Module):
    """Embedded glyphs of the crop through two convolutions, beside the status line: [N, output_size], `hidden_size` each."""

    NAME = "minihack/crop"

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__()
        if not {"glyphs_crop", "blstats"} <= set(obs_space.spaces):
            found = ", ".join(obs_space.spaces)
            raise UserError(f"encoder '{self.NAME}' needs glyphs_crop and blstats, got {found}; leave encoder unset")
        if cfg.normalize_input:
            raise UserError(f"encoder '{self.NAME}' counts glyphs: set normalize_input to false, or use encoder mlp")
        rows, columns = _rows_and_columns(obs_space["glyphs_crop"])
        self.embedding = nn.Embedding(NO_GLYPH + 1, EMBEDDING_SIZE)
        self.first = nn.Conv2d(EMBEDDING_SIZE, CHANNELS, 3, padding=1)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.crop = Mlp(CHANNELS * rows * columns, [cfg.hidden_size], cfg.nonlinearity)
        self.status = Mlp(NUM_BLSTATS + _CONDITION_BITS, [cfg.hidden_size], cfg.nonlinearity)
        self.output_size = 2 * cfg.hidden_size
        self._activation = ACTIVATIONS[cfg.nonlinearity]

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"glyphs_crop" [N, h, w], "blstats" [N, 27]} -> [N, output_size]."""
        x = self.embedding(obs["glyphs_crop"].long()).permute(0, 3, 1, 2)  # in channels-last format already
        x = self._activation(self.second(self._activation(self.first(x))))
        return torch.cat([self.crop.forward(x.flatten(1)), self.status.forward(scaled_blstats(obs["blstats"]))], 1)


class GlyphEncoder(CropEncoder):
    """`CropEncoder`, and a coarse look at the whole map: [N, 3 hidden_size].

    The map goes in patches of 3 x 4 cells through one convolution. What its glyphs mean is learned by the crop alone: with
    gradients to the embedding and overlapping convolutions, the map took eight times as long as the crop.
    """

    NAME = "minihack/glyphs"

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        if "glyphs" not in obs_space.spaces:
            raise UserError(f"encoder '{self.NAME}' needs --minihack.observation glyphs; use minihack/crop, or leave it unset")
        super().__init__(obs_space, cfg)
        rows, columns = _rows_and_columns(obs_space["glyphs"])
        down, across = _PATCH
        self.patches = nn.Conv2d(EMBEDDING_SIZE, CHANNELS, _PATCH, _PATCH, padding=(0, -columns % across))
        self.map = Mlp(CHANNELS * (rows // down) * -(-columns // across), [cfg.hidden_size], cfg.nonlinearity)
        self.output_size += cfg.hidden_size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"glyphs" [N, 21, 79], "glyphs_crop" [N, h, w], "blstats" [N, 27]} -> [N, output_size]."""
        cells = nn.functional.embedding(obs["glyphs"].long(), self.embedding.weight.detach()).permute(0, 3, 1, 2)
        seen = self.map.forward(self._activation(self.patches(cells)).flatten(1))
        return torch.cat([super().forward(obs), seen], 1)


def _rows_and_columns(space: spaces.Space[Any]) -> tuple[int, int]:
    assert space.shape is not None
    return space.shape[0], space.shape[1]


def scaled_blstats(blstats: Tensor) -> Tensor:
    """[N, 27] -> [N, 27 + 13], about -2 to 2: place by the map's size, the rest by its logarithm, conditions bit by bit."""
    logs = blstats.sign() * blstats.abs().log1p() * _LOG_SCALE
    place = blstats[:, :2] / blstats.new_tensor([MAP_SHAPE[1], MAP_SHAPE[0]])
    # shifted by division: bits have no form in ONNX
    powers = 2 ** torch.arange(_CONDITION_BITS, device=blstats.device)
    bits = torch.div(blstats[:, _CONDITION].long().unsqueeze(1), powers, rounding_mode="floor") % 2
    return torch.cat([place, logs[:, 2:], bits.float()], 1)
