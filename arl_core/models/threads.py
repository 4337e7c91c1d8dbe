"""How many threads torch's CPU kernels compute on, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kernel_threads(count: int) -> Iterator[None]:
    """`count` threads in this block. The process is the user's, who has the number of before back at its end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
