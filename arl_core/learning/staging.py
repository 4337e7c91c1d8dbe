"""Arrays of one batch in one piece of memory: one copy moves them all to a device."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNMENT_BYTES = 64  # of every array: a cache line


class Staging:
    """Named arrays of `shapes` (shape and dtype each), uninitialised, as NumPy's and as torch's views of `storage`, uint8
    [nbytes]. Pinned memory is copied to a GPU without a detour, and without anybody waiting."""

    def __init__(self, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], *, pinned: bool) -> None:
        sizes = [prod(shape) * dtype.itemsize for shape, dtype in shapes.values()]
        ends = accumulate((-(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES for size in sizes), initial=0)
        places = list(pairwise(ends))
        self.storage = torch.empty(places[-1][1] if places else 0, dtype=torch.uint8, pin_memory=pinned)
        self.tensors: dict[str, Tensor] = {}
        for (name, (shape, dtype)), (begin, _), size in zip(shapes.items(), places, sizes, strict=True):
            self.tensors[name] = self.storage[begin : begin + size].view(_torch_dtype(dtype)).view(shape)
        self.arrays: dict[str, NDArray[Any]] = {name: tensor.numpy() for name, tensor in self.tensors.items()}


def _torch_dtype(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
