"""Recurrent cores with one flat state vector a row, zeroed by the caller (acting) or after invalid rows (learning)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.models.recurrence import GruRecurrence, LstmRecurrence


class Core(nn.Module):
    """Recurrent cells, one above the other, over features [N, I] with state [N, state_size]: the cells' states side by side."""

    state_size: int
    output_size: int
    state_parts = 1  # vectors of the hidden size that one cell's state is made of

    def __init__(self, cells: Sequence[nn.RNNCellBase], recurrence: int) -> None:
        super().__init__()
        for cell in cells:
            for name, parameter in cell.named_parameters():
                if name.startswith("weight"):
                    nn.init.orthogonal_(parameter)
                else:
                    nn.init.zeros_(parameter)
        self.cells = nn.ModuleList(cells)
        self.output_size = cells[0].hidden_size
        self.state_size = len(cells) * self.state_parts * self.output_size
        self.recurrence = recurrence
        # plain tuples, as in Mlp
        self._weights = [(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh) for cell in cells]

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, I] and state [N, S] -> outputs [N, H] and the state after the row [N, S]."""
        states = []
        for weights, before in zip(self._weights, state.chunk(len(self._weights), -1), strict=True):
            x, after = self._step_cell(x, before, weights)
            states.append(after)
        return x, states[0] if len(states) == 1 else torch.cat(states, -1)

    def unroll(self, x: Tensor, state0: Tensor, valid: Tensor) -> Tensor:
        """Features [T, B, I] from state0 [B, S] -> outputs [T, B, H].

        The state after row t is zeroed where valid[t] is False: that row is a reset, whose observation still belongs to
        the episode that ended. `valid` has T or T-1 rows (nothing follows the last one). No gradient goes through the
        state from row t to row t - 1 where t is a multiple of `recurrence`.
        """
        keep = valid[: x.shape[0] - 1].to(x.dtype).unsqueeze(-1)
        for weights, before in zip(self._weights, state0.chunk(len(self._weights), -1), strict=True):
            x = self._unroll_cell(x, before, keep, weights)
        return x

    @abstractmethod
    def _step_cell(self, x: Tensor, state: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """`step` of one cell."""

    @abstractmethod
    def _unroll_cell(self, x: Tensor, state0: Tensor, keep: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """`unroll` of one cell; `keep` [T-1, B, 1] is 0 after a reset, otherwise 1."""


class GruCore(Core):
    """Gated recurrent units (Cho et al. 2014); a cell's state is its output."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, recurrence: int) -> None:
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        super().__init__([nn.GRUCell(size, hidden_size) for size in sizes], recurrence)

    def _step_cell(self, x: Tensor, state: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        hidden = torch.gru_cell(x, state, *weights)
        return hidden, hidden

    def _unroll_cell(self, x: Tensor, state0: Tensor, keep: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        gates = F.linear(x, weight_ih, bias_ih)
        outputs: Tensor = GruRecurrence.apply(gates, state0, keep, weight_hh, bias_hh, self.recurrence)  # type: ignore[no-untyped-call]
        return outputs


class LstmCore(Core):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); a cell's state is hidden and cell, concatenated."""

    state_parts = 2

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, recurrence: int) -> None:
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        super().__init__([nn.LSTMCell(size, hidden_size) for size in sizes], recurrence)

    def _step_cell(self, x: Tensor, state: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.lstm_cell(x, state.chunk(2, -1), *weights)
        return hidden, torch.cat((hidden, cell), -1)

    def _unroll_cell(self, x: Tensor, state0: Tensor, keep: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        gates = F.linear(x, weight_ih, bias_ih + bias_hh)
        hidden, cell = state0.chunk(2, -1)
        outputs: Tensor = LstmRecurrence.apply(gates, hidden, cell, keep, weight_hh, self.recurrence)  # type: ignore[no-untyped-call]
        return outputs


def make_core(input_size: int, cfg: RunConfig) -> Core | None:
    """The configured core of `hidden_size` units, or None when `use_rnn` is off."""
    if not cfg.use_rnn:
        return None
    recurrence = cfg.rollout if cfg.recurrence is None else cfg.recurrence
    kind = GruCore if cfg.rnn_type == "gru" else LstmCore
    return kind(input_size, cfg.hidden_size, cfg.rnn_num_layers, recurrence)
