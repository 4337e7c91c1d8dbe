"""Networks for the three kinds of observation."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.encoders import ConvEncoder, default_encoder
from arl_core.models.layers import ACTIVATIONS, Mlp
from arl_plugin_maze.observe import AGENT, FIRST_PORTAL, GOAL

PixelsEncoder = ConvEncoder
Ends = tuple[Tensor, Tensor]  # of portals: [2 pairs, N] cell numbers in a padded grid, and their partners'
_OBSERVATION_STAYS = ("reward-scale", "reward-clip", "time-limit", "frame-skip")  # wrappers
_BORDER = (0, 0, 1, 1, 1, 1)  # one cell of zeros around [D, n, n, N]


def _box(obs_space: spaces.Dict, axes: int, encoder: str) -> spaces.Box:
    space = obs_space.spaces.get("obs")
    if not isinstance(space, spaces.Box) or len(space.shape) != axes:
        raise UserError(f"encoder '{encoder}' does not fit this observation; leave encoder unset, or use maze/auto")
    return space


def make_auto(obs_space: spaces.Dict, cfg: RunConfig) -> nn.Module:
    """The encoder for what is observed: a position, a grid's planes (six or more), an image (three); what further wrappers may
    have made of them, stacked images of twelve planes for one, is anybody's."""
    if any(wrapper["name"] not in _OBSERVATION_STAYS for wrapper in cfg.wrappers):
        return default_encoder(obs_space, cfg)
    shape: tuple[int, ...] = getattr(obs_space.spaces.get("obs"), "shape", ())
    if shape == (2,):
        return PositionEncoder(obs_space, cfg)
    if len(shape) == 3 and shape[0] >= FIRST_PORTAL and shape[1] == shape[2]:
        return GridEncoder(obs_space, cfg)
    return PixelsEncoder(obs_space, cfg)


class PositionEncoder(nn.Module):
    """A one-hot cell, then dense layers: [N, 2] -> [N, hidden_size].

    What is learned about one cell leaves the others alone: with one-hot x beside one-hot y, or with the numbers themselves,
    a fixed 10 x 10 maze took several times as long. The first of `encoder_layers` is a look-up: its cost does not grow
    with the maze.
    """

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__()
        space = _box(obs_space, 1, "maze/position")
        if cfg.normalize_input:
            raise UserError("encoder 'maze/position' counts cells: set normalize_input to false, or use encoder mlp")
        self.size = int(space.high.max()) + 1
        self.cells = nn.Embedding(self.size**2, cfg.hidden_size)
        nn.init.normal_(self.cells.weight, std=math.sqrt(2 / cfg.hidden_size))
        self.mlp = Mlp(cfg.hidden_size, [cfg.hidden_size] * (cfg.encoder_layers - 1), cfg.nonlinearity)
        self.output_size = self.mlp.output_size
        self._activation = ACTIVATIONS[cfg.nonlinearity]

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"obs": [N, 2]} -> [N, output_size]."""
        x, y = obs["obs"].long().unbind(1)
        return self.mlp.forward(self._activation(self.cells(y * self.size + x)))


class GridEncoder(nn.Module):
    """Value propagation (after Nardelli et al. 2019, "Value Propagation Networks").

    Each cell has `channels` (D) values of its own and a gate towards each neighbour: learned functions of the cell's
    planes. Values spread through the gates, v <- max(v, gate * v[neighbour]), in sweeps over the four directions, and
    are read out at the agent: its value, what comes from each side, that relative to the best side, and its planes.
    At first an open side lets `_FIRST_DECAYS` of a value through and a wall next to nothing, and only the goal has a
    value: a measure of the distance to the goal is there to be used from the start, in any maze of any size.

    The fixed point is found without gradients; they flow through the last `_SWEEPS_WITH_GRADIENT` sweeps alone, whose
    starting values are constants (truncated back-propagation), so that training costs little more than acting.
    """

    _FIRST_DECAYS = (0.8, 0.9, 0.95, 0.98)
    _WALL_LOGIT = -9.0
    _SWEEPS_WITH_GRADIENT = 2
    _SHARPNESS = 8  # the side that leads on gives 1, the others next to 0: dense layers then tell them apart at once

    def __init__(self, obs_space: spaces.Dict, cfg: RunConfig) -> None:
        super().__init__()
        shape = _box(obs_space, 3, "maze/grid").shape
        if shape[0] < FIRST_PORTAL or shape[1] != shape[2]:
            raise UserError(f"encoder 'maze/grid' needs the planes of --maze.observation grid, got shape {shape}")
        self.planes, self.size, _ = shape
        self.sweeps = min(2 * self.size**2 // 3, 6 * self.size)  # enough for all but the most winding ways
        self.channels = len(self._FIRST_DECAYS)
        self._seen = [plane for plane in range(self.planes) if plane != AGENT]
        self.gates = nn.Linear(len(self._seen), 4 * self.channels)
        self.worth = nn.Linear(len(self._seen), self.channels)
        self._initialise()
        self.mlp = Mlp(9 * self.channels + self.planes, [cfg.hidden_size], cfg.nonlinearity)
        self.output_size = self.mlp.output_size

    @torch.no_grad()
    def _initialise(self) -> None:
        for parameter in (*self.gates.parameters(), *self.worth.parameters()):
            parameter.zero_()
        self.worth.weight[:, self._seen.index(GOAL)] = 1.0
        self.gates.bias.fill_(self._WALL_LOGIT)
        by_side = self.gates.weight.view(4, self.channels, -1)
        for side in range(4):
            for channel, decay in enumerate(self._FIRST_DECAYS):
                by_side[side, channel, side] = math.log(decay / (1 - decay)) - self._WALL_LOGIT

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """{"obs": [N, C, n, n]} of zeros and ones -> [N, output_size]."""
        planes = obs["obs"].permute(1, 2, 3, 0).contiguous()  # batch last: shifting by a cell stays one long copy
        rows = planes.shape[-1]
        seen = planes[self._seen].flatten(1)
        shape = (self.channels, self.size, self.size, rows)
        gates = torch.addmm(self.gates.bias.unsqueeze(1), self.gates.weight, seen).sigmoid().view(4, *shape)
        worth = torch.addmm(self.worth.bias.unsqueeze(1), self.worth.weight, seen).view(shape)
        ends = _portal_ends(planes[FIRST_PORTAL:])
        values = self._fixed_point(gates.detach(), worth.detach(), ends)
        for _ in range(self._SWEEPS_WITH_GRADIENT):
            values = torch.maximum(worth, (gates * _neighbours(values, ends)).amax(0))
        return self.mlp.forward(self._read_out(planes, gates, values, ends))

    @torch.no_grad()
    def _fixed_point(self, gates: Tensor, worth: Tensor, ends: Ends | None) -> Tensor:
        """Values [D, n, n, N] after `sweeps` sweeps, each direction using what the one before has found."""
        padded = nn.functional.pad(worth, _BORDER)
        values = padded[:, 1:-1, 1:-1]
        for _ in range(self.sweeps):
            for gate, shifted in zip(gates, _shifted(_through_portals(padded, ends)), strict=True):
                torch.maximum(values, gate * shifted, out=values)
        return values.clone()

    def _read_out(self, planes: Tensor, gates: Tensor, values: Tensor, ends: Ends | None) -> Tensor:
        """[N, 9 D + C]: at the agent's cell, what comes from each side, value, planes, and the sides over the best."""
        agent = planes[AGENT].flatten(0, 1).argmax(0)  # [N]
        incoming = gates * _neighbours(values, ends)
        parts = torch.cat([incoming.flatten(0, 1), values, planes]).flatten(1, 2)  # [5 D + C, cells, N]
        here = parts.gather(1, agent.expand(len(parts), 1, -1)).squeeze(1)
        sides = here[: 4 * self.channels].view(4, self.channels, -1)
        # No value is negative, whatever is learned: zeros come in from the border.
        relative = (sides / (sides.amax(0) + 1e-6)).pow(self._SHARPNESS)
        return torch.cat([here, relative.flatten(0, 1)]).t()


def _portal_ends(portals: Tensor) -> Ends | None:
    """Padded cell numbers of both ends of all pairs, and of their partners; None without portals [pairs, n, n, N]."""
    if not len(portals):
        return None
    ends = nn.functional.pad(portals, _BORDER).flatten(1, 2).topk(2, dim=1).indices  # [pairs, 2, N]
    return ends.flatten(0, 1), ends.flip(1).flatten(0, 1)


def _through_portals(padded: Tensor, ends: Ends | None) -> Tensor:
    """Values [D, n + 2, n + 2, N] of where one stands after stepping onto each cell."""
    if ends is None:
        return padded
    flat = padded.flatten(1, 2)
    cells, partners = (end.expand(len(flat), -1, -1) for end in ends)
    return flat.scatter(1, cells, flat.gather(1, partners)).view_as(padded)


def _shifted(padded: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views [D, n, n, N] of a padded [D, n + 2, n + 2, N]: each cell's neighbour to the north, south, east, west."""
    return padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, 2:], padded[:, 1:-1, :-2]


def _neighbours(values: Tensor, ends: Ends | None) -> Tensor:
    """[4, D, n, n, N]: the value that a step in each direction leads to, 0 beyond the edge."""
    return torch.stack(_shifted(_through_portals(nn.functional.pad(values, _BORDER), ends)))
