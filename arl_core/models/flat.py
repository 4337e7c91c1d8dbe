"""A module's parameters, gradients and buffers as flat vectors: one copy publishes weights, Adam runs on one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from arl_core.interfaces import UserError

# Every tensor starts on a cache line: vector instructions and GPU matrix kernels are slower on odd addresses.
ALIGNMENT_BYTES = 64


class FlatState:
    """Flat views of a flattened module (see `flatten_module`). All members share memory with the module.

    `params` float32 [n] and `grads` float32 [n] include padding, which stays zero. `buffers` has one vector a dtype.
    """

    def __init__(self, storage: Tensor, params: Tensor, buffers: dict[torch.dtype, Tensor]) -> None:
        self._storage = storage
        self.params = params
        self.grads = torch.zeros_like(params)
        self.buffers = buffers

    @property
    def nbytes(self) -> int:
        """Size in bytes of parameters and buffers together, padding included."""
        return self._storage.numel()

    def write_to(self, buf: Tensor) -> None:
        """Copy parameters and buffers into buf, uint8 [nbytes], on any device."""
        buf.copy_(self._storage)

    def read_from(self, buf: Tensor) -> None:
        """Replace parameters and buffers by what `write_to` of an equal module left in buf, uint8 [nbytes]."""
        self._storage.copy_(buf)

    def replaced_in(self, module: nn.Module) -> str:
        """The name of a parameter or buffer of the flattened `module` that lies elsewhere by now, because something has put
        another tensor in its place; "" where all are in theirs."""
        begin = self._storage.data_ptr()
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.numel() and not begin <= tensor.data_ptr() < begin + self.nbytes:
                return name
        return ""

    def zero_grad(self) -> None:
        """Zero all gradients in place; the module's `.grad`s stay views of `grads`."""
        self.grads.zero_()


def flatten_module(module: nn.Module) -> FlatState:
    """Move all parameters and buffers of `module` into one piece of memory, as views of it.

    Gradients too: backward accumulates into `FlatState.grads`. Tied parameters are stored once. `load_state_dict` keeps
    the views; `module.to(...)` and `zero_grad(set_to_none=True)` would break them, so move the module first and zero
    through the returned state. Raises UserError for parameters that are not float32 or not all on one device.
    """
    params = list(module.parameters())
    _check(module)
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for buffer in dict.fromkeys(module.buffers()):
        by_dtype.setdefault(buffer.dtype, []).append(buffer)
    dtypes = sorted(by_dtype, key=str)
    sizes = [_size_bytes(params, torch.float32), *(_size_bytes(by_dtype[dtype], dtype) for dtype in dtypes)]
    device = params[0].device if params else torch.device("cpu")
    storage = torch.zeros(sum(sizes), dtype=torch.uint8, device=device)
    parts = storage.split_with_sizes(sizes)
    state = FlatState(
        storage,
        parts[0].view(torch.float32),
        {dtype: part.view(dtype) for dtype, part in zip(dtypes, parts[1:], strict=True)},
    )
    with torch.no_grad():
        for dtype in dtypes:
            _move(by_dtype[dtype], state.buffers[dtype])
        _move(params, state.params)
        for parameter, grad in zip(params, _views(params, state.grads), strict=True):
            parameter.grad = grad
    return state


def _check(module: nn.Module) -> None:
    devices = {str(tensor.device) for tensor in (*module.parameters(), *module.buffers())}
    if len(devices) > 1:
        raise UserError(f"the model lies on several devices ({', '.join(sorted(devices))}); move it to one first")
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise UserError(f"parameter '{name}' of the model is {parameter.dtype}; only torch.float32 can be trained")


def _padded(tensor: Tensor, dtype: torch.dtype) -> int:
    per_line = ALIGNMENT_BYTES // dtype.itemsize
    return -(-tensor.numel() // per_line) * per_line


def _size_bytes(tensors: Iterable[Tensor], dtype: torch.dtype) -> int:
    return sum(_padded(tensor, dtype) for tensor in tensors) * dtype.itemsize


def _views(tensors: Sequence[Tensor], flat: Tensor) -> list[Tensor]:
    """One view of `flat` for each tensor, in order, of the tensor's shape."""
    views, start = [], 0
    for tensor in tensors:
        views.append(flat[start : start + tensor.numel()].view(tensor.shape))
        start += _padded(tensor, flat.dtype)
    return views


def _move(tensors: Sequence[Tensor], flat: Tensor) -> None:
    for tensor, view in zip(tensors, _views(tensors, flat), strict=True):
        view.copy_(tensor)
        tensor.data = view
