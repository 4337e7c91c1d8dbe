"""The recurrent core's unroll, forward and backward, beside the plain chain of cells under autograd and torch's own layer.

    python benchmarks/recurrent.py [--rows 33] [--batch 64] [--sizes 64,128,256,512] [--rounds 7]

One thread. The ways run in turn in every round (A B C A B C); shown is each one's fastest round in milliseconds, and the
median over the rounds of chain / core. torch's layer (`nn.GRU`, `nn.LSTM`) is what a run without any reset could use.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.models.cores import Core, make_core


def chain(core: Core, x: Tensor, state0: Tensor, valid: Tensor) -> Tensor:
    """Row after row, one fused cell each."""
    keep = valid.to(x.dtype).unsqueeze(-1)
    state, outputs = state0, []
    for t, row in enumerate(x.unbind(0)):
        if t:
            state = state * keep[t - 1]
        hidden, state = core.step(row, state)
        outputs.append(hidden)
    return torch.stack(outputs)


def seconds(function: Callable[[], Tensor], repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        function().sum().backward()  # type: ignore[no-untyped-call]
    return (time.perf_counter() - begin) / repeats


def measure(kind: str, size: int, rows: int, batch: int, rounds: int) -> tuple[dict[str, float], float]:
    """Fastest seconds of each way, and the median ratio of chain to core."""
    torch.manual_seed(0)
    made = make_core(size, RunConfig.model_validate({"use_rnn": True, "rnn_type": kind, "hidden_size": size}))
    assert made is not None
    core = made
    layer = (nn.GRU if kind == "gru" else nn.LSTM)(size, size)
    x = torch.randn(rows, batch, size, requires_grad=True)
    state0, valid = torch.randn(batch, core.state_size), torch.rand(rows, batch) > 0.02
    ways: dict[str, Callable[[], Tensor]] = {
        "chain": lambda: chain(core, x, state0, valid),
        "core": lambda: core.unroll(x, state0, valid),
        "layer": lambda: layer(x)[0],
    }
    once = {name: seconds(way, 2) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(seconds(way, max(1, int(0.15 / once[name]))))
    ratio = statistics.median(a / b for a, b in zip(times["chain"], times["core"], strict=True))
    return {name: min(values) for name, values in times.items()}, ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=33, help="T + 1")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--sizes", default="64,128,256,512")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for kind in ("gru", "lstm"):
        for size in map(int, arguments.sizes.split(",")):
            best, ratio = measure(kind, size, arguments.rows, arguments.batch, arguments.rounds)
            shown = ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in best.items())
            print(f"{kind} H={size}: {shown}; chain / core {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
