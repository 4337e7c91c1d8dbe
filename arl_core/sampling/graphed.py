"""A forward pass as a CUDA graph: captured once for each of a few batch sizes, then replayed, so that a small network's
dozens of kernels cost one launch (NVIDIA, "Getting Started with CUDA Graphs", 2019).

Whether a network can be captured is found out by trying: what was captured is compared with the plain pass on the same rows,
and where either fails the plain pass stays in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Pass = Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]  # {name: [N, ...]} -> tensors [N, ...]
# A pass without arguments -> the tensors that it wrote, and what writes them again.
Recorder = Callable[[Callable[[], tuple[Tensor, ...]]], tuple[tuple[Tensor, ...], Callable[[], None]]]
_WARM_UPS = 3  # libraries choose their kernels, and allocate, in the first calls: not while a graph is captured


def record_cuda_graph(run: Callable[[], tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
    """A `Recorder`. Raises RuntimeError for a pass that waits for the device or allocates on the host."""
    side, present = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    side.wait_stream(present)
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            run()
    present.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return outputs, graph.replay


class GraphedPass:
    """`compute`, replayed for the next of the sizes `unit`, 2 `unit`, 4 `unit`, ... `largest`; rows beyond those given are
    what earlier calls left there. What it returns is overwritten by the next call.

    `compute` must be a function of its rows alone, each by itself, and of tensors that are changed in place.
    """

    def __init__(
        self, compute: Pass, device: torch.device, unit: int, largest: int, record: Recorder = record_cuda_graph
    ) -> None:
        self._compute, self._device, self._record = compute, device, record
        self._sizes = [unit]
        while self._sizes[-1] < largest:
            self._sizes.append(min(2 * self._sizes[-1], largest))
        self._inputs: dict[str, Tensor] = {}  # [largest, ...], on the device: every graph reads the first rows of it
        self._recorded: dict[int, tuple[tuple[Tensor, ...], Callable[[], None]]] = {}
        self.refusal = ""  # why no graph is used

    def __call__(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """{name: [N, ...]}, here or on the device, N at most `largest` -> tensors [N, ...] on the device."""
        count = len(next(iter(inputs.values())))
        if not self._inputs:
            self._inputs = {name: self._filled(rows) for name, rows in inputs.items()}
        for name, rows in inputs.items():
            self._inputs[name][:count].copy_(rows, non_blocking=True)
        if self.refusal:
            return self._plain(count)
        size = next(size for size in self._sizes if size >= count)
        if size not in self._recorded and not self._try_to_record(size):
            return self._plain(count)
        outputs, replay = self._recorded[size]
        replay()
        return tuple(rows[:count] for rows in outputs)

    def _filled(self, rows: Tensor) -> Tensor:
        """Memory for the most rows, each a copy of the first: no row is ever what no environment could give."""
        return rows[:1].to(self._device).expand(self._sizes[-1], *rows.shape[1:]).clone()

    def _plain(self, count: int) -> tuple[Tensor, ...]:
        return self._compute({name: rows[:count] for name, rows in self._inputs.items()})

    def _try_to_record(self, size: int) -> bool:
        expected = self._plain(size)
        try:
            outputs, replay = self._record(lambda: self._plain(size))
            replay()
        except RuntimeError as error:
            self.refusal = str(error).partition("\n")[0]
            return False
        if not all(_agree(*pair) for pair in zip(outputs, expected, strict=True)):
            self.refusal = "replayed, it gave other results"
            return False
        self._recorded[size] = outputs, replay
        return True


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether these are the same but for rounding, which may differ while a graph is captured: libraries choose other kernels.
    A sampled action that was close to another one turns into it, in one row of ten at most."""
    if not found.is_floating_point():
        differing = (found != expected).reshape(len(found), -1).any(1)
        return int(differing.sum()) <= max(len(found) // 10, 1)
    scale = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max())  # an environment may have given NaN, now or before
    return torch.allclose(found, expected, rtol=0.0, atol=0.02 * scale + 1e-6, equal_nan=True)
