"""Networks for MiniGrid: embedded symbols, or the core's convolutions for pixels, with direction and mission beside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.encoders import ConvEncoder
from arl_core.models.layers import Mlp
from arl_plugin_minigrid.mission import NUM_TOKENS
from arl_plugin_minigrid.view import NUM_COLOURS, NUM_OBJECTS, NUM_STATES

EMBEDDING_SIZE = 8
_NUM_DIRECTIONS = 4


def make_auto(obs_space: spaces.Dict, cfg: RunConfig) -> nn.Module:
    """The encoder for what is observed: symbols or pixels."""
    image = obs_space.spaces.get("image")
    is_pixels = image is not None and image.dtype == np.uint8
    return (PixelsEncoder if is_pixels else SymbolicEncoder)(obs_space, cfg)


class _Encoder(nn.Module):
    """Features of the image, the direction (one-hot) and the mission, through one dense layer: [N, hidden_size]."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig, image: nn.Module, image_size: int) -> None:
        super().__init__()
        self.image = image
        self.mission = _mission_network(obs_space.spaces.get("mission"), cfg)
        self._told = self.mission is not None
        inputs = image_size + _NUM_DIRECTIONS + cfg.hidden_size * self._told
        self.dense = Mlp(inputs, [cfg.hidden_size], cfg.nonlinearity)
        self.output_size = self.dense.output_size

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"image", "direction" [N, 4], maybe "mission"} -> [N, output_size]."""
        parts = [self.image(obs), obs["direction"]]
        if self.mission is not None:
            parts.append(self.mission(obs["mission"]))
        return self.dense.forward(torch.cat(parts, 1))


class SymbolicEncoder(_Encoder):
    """Each cell's object, colour and state embedded (8 numbers, added up), then a dense layer over all cells.

    Convolutions over the cells (two of 2 x 2 with 16 channels; one of 3 x 3, stride 2, with 32) solved DoorKey-5x5 in no fewer
    frames, and took three times as long to act and to train.
    """

    NAME = "minigrid/symbolic"

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        space = obs_space.spaces.get("image")
        if space is None or space.dtype != np.int8 or space.shape is None or "direction" not in obs_space.spaces:
            raise UserError(f"encoder '{self.NAME}' needs --minigrid.observation view or full; leave encoder unset")
        if cfg.normalize_input:
            raise UserError(f"encoder '{self.NAME}' counts objects: set normalize_input to false, or use encoder mlp")
        super().__init__(obs_space, cfg, _Symbols(space.shape[0] * space.shape[1], cfg), cfg.hidden_size)


class _Symbols(nn.Module):
    def __init__(self, num_cells: int, cfg: RunConfig) -> None:
        super().__init__()
        self.objects = nn.Parameter(torch.randn(NUM_OBJECTS, 1, 1, EMBEDDING_SIZE))
        self.colours = nn.Parameter(torch.randn(NUM_COLOURS, 1, EMBEDDING_SIZE))
        self.states = nn.Parameter(torch.randn(NUM_STATES, EMBEDDING_SIZE))
        self.dense = Mlp(num_cells * EMBEDDING_SIZE, [cfg.hidden_size], cfg.nonlinearity)

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"image": [N, w, h, 3]} -> [N, hidden_size]."""
        kinds, colours, states = obs["image"].long().unbind(-1)
        # one look-up for each cell, in a small table of all combinations
        table = (self.objects + self.colours + self.states).flatten(0, 2)
        cells = nn.functional.embedding((kinds * NUM_COLOURS + colours) * NUM_STATES + states, table)
        return self.dense.forward(cells.flatten(1))


class PixelsEncoder(_Encoder):
    """The core's convolutions, which `encoder_subtype` chooses."""

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        conv = ConvEncoder(spaces.Dict({"image": obs_space["image"]}), cfg)
        super().__init__(obs_space, cfg, conv, conv.output_size)


def _mission_network(space: spaces.Space[object] | None, cfg: RunConfig) -> nn.Module | None:
    if space is None:
        return None
    if isinstance(space, spaces.MultiBinary):
        return Mlp(int(np.prod(space.shape)), [cfg.hidden_size], cfg.nonlinearity)
    return _Reader(cfg.hidden_size)


class _Reader(nn.Module):
    """A GRU over the words of a mission, [N, 64] tokens -> [N, hidden_size]: its state after the last word."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.words = nn.Embedding(NUM_TOKENS, hidden_size, padding_idx=0)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        words = tokens.long()
        lengths = (words > 0).sum(1)
        # an exported graph cannot depend on what it reads: there the GRU goes on to the end
        longest = words.shape[1] if torch.compiler.is_compiling() else max(1, int(lengths.max()))
        states, _ = self.gru(self.words(words[:, :longest]))
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        read: Tensor = states.gather(1, last).squeeze(1)
        return read
