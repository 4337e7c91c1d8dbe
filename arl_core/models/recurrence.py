"""The recurrence of a GRU or LSTM over T rows, forward and backward, with as few operations a row as there can be.

Input projections of all rows come as one tensor (one matrix product, made by the caller). A row then costs one product with
the state and a few elementwise operations. Backward is linear in the state's gradient, so everything but that one product
is computed for all rows at once: the factors before the loop, the weights' gradients after it. Autograd over a chain of
cells does both row by row (benchmarks/LOG.md).

Resets: `keep` [T-1, B, 1] (float, 0 or 1) multiplies the state between row t and t + 1. `recurrence` cuts gradients: none
goes from row t to t - 1 where t is a multiple of it. tanh is computed as 2 sigmoid(2a) - 1: on a CPU torch's sigmoid is
much the faster of the two.
"""

# ruff: noqa: D102  # autograd.Function prescribes forward and backward

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class GruRecurrence(torch.autograd.Function):
    """h' = (1 - z) n + z h of Cho et al. 2014, with the reset gate after the product, as torch has it.

    `gates` [T, B, 3H]: input projections with their bias (reset, update, new); state0 [B, H]; weight [3H, H]; bias [3H]
    -> outputs [T, B, H].
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, state0: Tensor, keep: Tensor, weight: Tensor, bias: Tensor, recurrence: int) -> Tensor:
        rows, batch, width = gates.shape
        size = width // 3
        before = gates.new_empty(rows, batch, size)  # the state that a row starts from
        after = gates.new_empty(rows, batch, size)
        inner = gates.new_empty(rows, batch, width)  # products with the state; the first 2H become the sigmoids r and z
        new = gates[..., 2 * size :] * 2.0  # becomes n
        weight_t = weight.t()
        befores, afters = before.unbind(), after.unbind()
        befores[0].copy_(state0)
        parts = zip(
            inner.unbind(),
            inner[..., : 2 * size].unbind(),
            gates[..., : 2 * size].unbind(),
            *(part.unbind() for part in inner.chunk(3, 2)),
            new.unbind(),
            strict=True,
        )
        keeps = keep.unbind()
        for t, (products, both, projected, reset, update, product, candidate) in enumerate(parts):
            state = befores[t]
            if t:
                torch.mul(afters[t - 1], keeps[t - 1], out=state)
            torch.addmm(bias, state, weight_t, out=products)
            both.add_(projected).sigmoid_()
            candidate.addcmul_(reset, product, value=2.0).sigmoid_().mul_(2.0).sub_(1.0)
            torch.lerp(candidate, state, update, out=afters[t])
        ctx.save_for_backward(before, inner, new, keep, weight)
        ctx.recurrence = recurrence
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        before, inner, new, keep, weight = ctx.saved_tensors
        rows, batch, size = before.shape
        reset, update, product = inner.chunk(3, 2)
        # every gate's gradient is dh times a factor that is known beforehand
        of_new = (1.0 - update) * (1.0 - new.square())
        factors = torch.empty_like(inner).view(rows, batch, 3, size)
        torch.mul(of_new, reset, out=factors[:, :, 2])
        torch.mul(factors[:, :, 2], product * (1.0 - reset), out=factors[:, :, 0])
        torch.mul(update * (1.0 - update), before - new, out=factors[:, :, 1])
        gate_grads = torch.empty_like(inner)
        states = torch.empty_like(before)  # dh of every row
        of_rows, of_gates, cubes = states.unbind(), gate_grads.unbind(), gate_grads.view(rows, batch, 3, size).unbind()
        incoming, keeps, scales, updates = grads.unbind(), keep.unbind(), factors.unbind(), update.unbind()
        state: Tensor | None = None
        for t in range(rows - 1, -1, -1):
            total = of_rows[t]
            if state is None:
                total.copy_(incoming[t])
            else:
                torch.addcmul(incoming[t], state, keeps[t], out=total)
            torch.mul(scales[t], total.unsqueeze(1), out=cubes[t])
            state = None if t and t % ctx.recurrence == 0 else torch.addmm(total * updates[t], of_gates[t], weight)
        weight_grad = gate_grads.flatten(0, 1).t() @ before.flatten(0, 1)
        bias_grad = gate_grads.sum((0, 1))
        torch.mul(states, of_new, out=gate_grads[..., 2 * size :])  # now of the projections
        return gate_grads, state, None, weight_grad, bias_grad, None


class LstmRecurrence(torch.autograd.Function):
    """c' = f c + i g, h' = o tanh(c') of Hochreiter & Schmidhuber 1997.

    `gates` [T, B, 4H]: input projections with both biases (input, forget, cell, output); hidden0, cell0 [B, H];
    weight [4H, H] -> outputs [T, B, H].
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, hidden0: Tensor, cell0: Tensor, keep: Tensor, weight: Tensor, recurrence: int
    ) -> Tensor:
        rows, batch, width = gates.shape
        size = width // 4
        before = gates.new_empty(rows, batch, size)
        cell_before = gates.new_empty(rows, batch, size)
        squashed = gates.new_empty(rows, batch, size)  # tanh(c')
        after = gates.new_empty(rows, batch, size)
        values = gates.new_empty(rows, batch, width)  # i, f, g, o
        weight_t = weight.t()
        befores, cells, keeps = before.unbind(), cell_before.unbind(), keep.unbind()
        befores[0].copy_(hidden0)
        cells[0].copy_(cell0)
        parts = zip(
            gates.unbind(),
            values.unbind(),
            *(part.unbind() for part in values.chunk(4, 2)),
            squashed.unbind(),
            after.unbind(),
            strict=True,
        )
        for t, (projected, row, i, f, g, o, tanh, hidden) in enumerate(parts):
            torch.addmm(projected, befores[t], weight_t, out=row)
            g.mul_(2.0)
            row.sigmoid_()
            g.mul_(2.0).sub_(1.0)
            cell = torch.mul(f, cells[t]).addcmul_(i, g)
            torch.mul(cell, 2.0, out=tanh).sigmoid_().mul_(2.0).sub_(1.0)
            torch.mul(o, tanh, out=hidden)
            if t + 1 < rows:
                torch.mul(hidden, keeps[t], out=befores[t + 1])
                torch.mul(cell, keeps[t], out=cells[t + 1])
        ctx.save_for_backward(before, cell_before, values, squashed, keep, weight)
        ctx.recurrence = recurrence
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        before, cell_before, values, squashed, keep, weight = ctx.saved_tensors
        rows, batch, size = before.shape
        i, f, g, o = values.chunk(4, 2)
        factors = values.new_empty(rows, batch, 3, size)  # d cell / d gates
        torch.mul(g, i * (1.0 - i), out=factors[:, :, 0])
        torch.mul(cell_before, f * (1.0 - f), out=factors[:, :, 1])
        torch.mul(i, 1.0 - g.square(), out=factors[:, :, 2])
        of_cells = (o * (1.0 - squashed.square())).unbind()  # d hidden / d cell
        of_outputs = (squashed * o * (1.0 - o)).unbind()
        gate_grads = torch.empty_like(values)
        cubes = gate_grads.view(rows, batch, 4, size)
        of_three, of_output = cubes[:, :, :3].unbind(), cubes[:, :, 3].unbind()
        of_gates, scales, forgets = gate_grads.unbind(), factors.unbind(), f.unbind()
        incoming, keeps = grads.unbind(), keep.unbind()
        hidden: Tensor | None = None
        cell: Tensor | None = None
        for t in range(rows - 1, -1, -1):
            if hidden is None or cell is None:
                total = incoming[t]
                of_row = total * of_cells[t]
            else:
                total = torch.addcmul(incoming[t], hidden, keeps[t])
                of_row = cell.mul_(keeps[t]).addcmul_(total, of_cells[t])
            torch.mul(scales[t], of_row.unsqueeze(1), out=of_three[t])
            torch.mul(of_outputs[t], total, out=of_output[t])
            is_cut = t and t % ctx.recurrence == 0
            hidden, cell = (None, None) if is_cut else (of_gates[t] @ weight, of_row * forgets[t])
        weight_grad = gate_grads.flatten(0, 1).t() @ before.flatten(0, 1)
        return gate_grads, hidden, cell, None, weight_grad, None
