"""Recurrent cores with one flat state vector a row, zeroed by the caller (acting) or after invalid rows (learning)."""

# ruff: noqa: D102  # `Core` documents what its subclasses override

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from arl_core.config import RunConfig


class Core(nn.Module):
    """A recurrent cell over features [N, I] with state [N, state_size]."""

    state_size: int
    output_size: int
    cell: nn.RNNCellBase

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        for name, parameter in cell.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
        self.cell = cell
        self.output_size = cell.hidden_size

    @abstractmethod
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, I] and state [N, S] -> outputs [N, H] and the state after the row [N, S]."""

    @abstractmethod
    def unroll(self, x: Tensor, state0: Tensor, valid: Tensor) -> Tensor:
        """Features [T, B, I] from state0 [B, S] -> outputs [T, B, H].

        The state after row t is zeroed where valid[t] is False: that row is a reset, whose observation still belongs to
        the episode that ended. `valid` has T or T-1 rows (nothing follows the last one).
        """


class GruCore(Core):
    """Gated recurrent unit (Cho et al. 2014); the state is the output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(nn.GRUCell(input_size, hidden_size))
        self.state_size = hidden_size

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cell = self.cell
        return cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.gru_cell(x, state, *self._weights())
        return hidden, hidden

    def unroll(self, x: Tensor, state0: Tensor, valid: Tensor) -> Tensor:
        weights = self._weights()
        keep = valid.to(x.dtype).unsqueeze(-1).unbind(0)
        hidden, outputs = state0, []
        for t, row in enumerate(x.unbind(0)):
            if t:
                hidden = hidden * keep[t - 1]
            hidden = torch.gru_cell(row, hidden, *weights)
            outputs.append(hidden)
        return torch.stack(outputs)


class LstmCore(Core):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); the state is hidden and cell, concatenated."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(nn.LSTMCell(input_size, hidden_size))
        self.state_size = 2 * hidden_size

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cell = self.cell
        return cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.lstm_cell(x, state.chunk(2, -1), *self._weights())
        return hidden, torch.cat((hidden, cell), -1)

    def unroll(self, x: Tensor, state0: Tensor, valid: Tensor) -> Tensor:
        weights = self._weights()
        keep = valid.to(x.dtype).unsqueeze(-1).unbind(0)
        hidden, cell = state0.chunk(2, -1)
        outputs = []
        for t, row in enumerate(x.unbind(0)):
            if t:
                hidden, cell = hidden * keep[t - 1], cell * keep[t - 1]
            hidden, cell = torch.lstm_cell(row, (hidden, cell), *weights)
            outputs.append(hidden)
        return torch.stack(outputs)


def make_core(input_size: int, cfg: RunConfig) -> Core | None:
    """The configured core of `hidden_size` units, or None when `use_rnn` is off."""
    if not cfg.use_rnn:
        return None
    return (GruCore if cfg.rnn_type == "gru" else LstmCore)(input_size, cfg.hidden_size)
