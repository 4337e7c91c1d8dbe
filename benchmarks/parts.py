"""What a workload costs at least: environment, inference and training seconds per frame, one thread, nothing of ours.

This program does not import arl_core. It writes each part the fastest way known to us, and prints the median over a second
and a half of repetitions as JSON, with the limit of this machine: cores / (env + inference + training). `fastest_limit_fps` is
that of the fastest repetitions: what the machine does when nobody else uses it.

    python benchmarks/parts.py [--env CartPole-v1] [--inference-batch 64] [--training-batch 2048] [--rollout 32]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

HIDDEN = 64


class Seconds(NamedTuple):
    """Seconds per frame over the repetitions."""

    median: float
    fastest: float


def repeat(run: Callable[[], int], seconds: float = 1.5) -> Seconds:
    """Repeat `run`, which returns its frames, for `seconds`."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        frames = run()
        times.append((time.perf_counter() - begin) / frames)
    return Seconds(statistics.median(times), min(times))


def env_seconds(name: str) -> Seconds:
    env = gym.make(name).unwrapped
    env.action_space.seed(0)
    samples = [env.action_space.sample() for _ in range(4096)]
    env.reset(seed=0)

    def run(actions: list[Any]) -> int:
        step, reset = env.step, env.reset
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        return len(actions)

    # environments check their action; how fast depends on whose integers it is, NumPy's or Python's
    kinds = [samples, [action.item() for action in samples]] if np.ndim(samples[0]) == 0 else [samples]
    return min(repeat(partial(run, actions), 1.5 / len(kinds)) for actions in kinds)


def make_network(inputs: int, actions: int) -> list[Tensor]:
    torch.manual_seed(0)
    sizes = [(HIDDEN, inputs), (HIDDEN,), (HIDDEN, HIDDEN), (HIDDEN,), (actions + 1, HIDDEN), (actions + 1,)]
    return [(torch.randn(size) * 0.1).requires_grad_() for size in sizes]


def dense_tanh(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """tanh(y) = 1 - 2 sigmoid(-2y): on a CPU torch's sigmoid is several times as fast as its tanh."""
    return 1.0 - 2.0 * torch.addmm(bias, x, weight.t(), beta=-2.0, alpha=-2.0).sigmoid_()


def forward(weights: list[Tensor], x: Tensor) -> Tensor:
    a, b, c, d, e, f = weights
    return torch.addmm(f, dense_tanh(c, d, dense_tanh(a, b, x)), e.t())


def inference_seconds(inputs: int, actions: int, batch: int) -> Seconds:
    weights, x = make_network(inputs, actions), torch.randn(batch, inputs)

    def run() -> int:
        with torch.inference_mode():
            for _ in range(300):
                out = forward(weights, x)
                log_probs = torch.log_softmax(out[:, :actions], -1)
                chosen = (log_probs - torch.empty_like(log_probs).exponential_().log_()).argmax(-1, keepdim=True)
                log_probs.gather(-1, chosen)
        return 300 * batch

    return repeat(run)


def inference_numpy_seconds(inputs: int, actions: int, batch: int) -> Seconds:
    """The same in NumPy, which is faster for a network as small as this one."""
    layers = [w.detach().numpy() for w in make_network(inputs, actions)]
    a, c, e = (np.ascontiguousarray(w.T) for w in layers[::2])
    b, d, f = layers[1::2]
    rng, x = np.random.Generator(np.random.SFC64(0)), np.random.randn(batch, inputs).astype(np.float32)
    first, second = np.empty((batch, HIDDEN), np.float32), np.empty((batch, HIDDEN), np.float32)
    noise = np.empty((batch, actions), np.float32)

    def run() -> int:
        for _ in range(300):
            np.dot(x, a, out=first)
            np.tanh(np.add(first, b, out=first), out=first)
            np.dot(first, c, out=second)
            np.tanh(np.add(second, d, out=second), out=second)
            out = np.dot(second, e)
            out += f
            rng.standard_exponential(out=noise, dtype=np.float32)
            (out[:, :actions] - np.log(noise)).argmax(-1)
        return 300 * batch

    return repeat(run)


class FlatAdam:
    """Gradient clipping and Adam on one vector that all weights and gradients are views of."""

    def __init__(self, weights: list[Tensor], lr: float) -> None:
        flat = torch.cat([weight.detach().flatten() for weight in weights])
        self._params, self._lr, self._steps = flat, lr, 0
        self._grads, self._first, self._second = (torch.zeros_like(flat) for _ in range(3))
        offset = 0
        for weight in weights:
            part = slice(offset, offset + weight.numel())
            weight.data, weight.grad = flat[part].view_as(weight), self._grads[part].view_as(weight)
            offset = part.stop

    def zero_grad(self) -> None:
        self._grads.zero_()

    def step(self, max_norm: float) -> None:
        grads = self._grads
        grads.mul_((max_norm / (grads.norm() + 1e-6)).clamp(max=1.0))
        self._steps += 1
        self._first.lerp_(grads, 0.1)
        self._second.mul_(0.999).addcmul_(grads, grads, value=0.001)
        denominator = self._second.sqrt().div_((1.0 - 0.999**self._steps) ** 0.5).add_(1e-8)
        self._params.addcdiv_(self._first, denominator, value=-self._lr / (1.0 - 0.9**self._steps))


def backward_sums(deltas: Tensor, decay: Tensor) -> Tensor:
    """x[t] = deltas[t] + decay[t] x[t + 1] for all t in log2(T) steps: sums over 1, 2, 4, ... rows."""
    sums, factors, reach = deltas, decay, 1
    while reach < len(deltas):
        sums = torch.cat([torch.addcmul(sums[:-reach], factors[:-reach], sums[reach:]), sums[-reach:]])
        factors = torch.cat([factors[:-reach] * factors[reach:], torch.zeros_like(factors[-reach:])])
        reach *= 2
    return sums


def training_seconds(inputs: int, actions: int, batch: int, rollout: int) -> Seconds:
    """One epoch of clipped policy loss with V-trace targets (Espeholt 2018) and Adam."""
    weights = make_network(inputs, actions)
    optimizer = FlatAdam(weights, lr=1e-4)
    columns = batch // rollout
    x = torch.randn(rollout + 1, columns, inputs)
    chosen = torch.randint(actions, (rollout, columns, 1))
    behaviour, rewards = torch.full((rollout, columns), -0.7), torch.ones(rollout, columns)
    discounts = 0.99 * (torch.rand(rollout, columns) > 0.02).float()

    def step() -> None:
        out = forward(weights, x.flatten(0, 1)).unflatten(0, (rollout + 1, columns))  # type: ignore[no-untyped-call]
        log_all, values = torch.log_softmax(out[:-1, :, :actions], -1), out[..., actions]
        log_probs = log_all.gather(-1, chosen).squeeze(-1)
        ratio = torch.exp(log_probs - behaviour)
        with torch.no_grad():
            v, rho = values.detach(), ratio.detach().clamp(max=1.0)
            deltas = rho * (rewards + discounts * v[1:] - v[:-1])
            targets = backward_sums(deltas, discounts * rho) + v[:-1]
            following = torch.cat([targets[1:], v[-1:]])
            advantages = rho * (rewards + discounts * following - v[:-1])
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-5)
        policy = -torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.1) * advantages).mean()
        entropy = -(log_all.exp() * log_all).sum(-1).mean()
        loss = policy + 0.5 * (values[:-1] - targets).square().mean() - 0.003 * entropy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(4.0)

    def run() -> int:
        for _ in range(20):
            step()
        return 20 * batch

    return repeat(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--inference-batch", type=int, default=64)
    parser.add_argument("--training-batch", type=int, default=2048)
    parser.add_argument("--rollout", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    env = gym.make(arguments.env)
    assert isinstance(env.observation_space, spaces.Box)
    assert isinstance(env.action_space, spaces.Discrete)
    inputs, actions = env.observation_space.shape[0], int(env.action_space.n)
    batch = arguments.inference_batch
    parts = {
        "env_s": env_seconds(arguments.env),
        "inference_s": min(part(inputs, actions, batch) for part in (inference_seconds, inference_numpy_seconds)),
        "training_s": training_seconds(inputs, actions, arguments.training_batch, arguments.rollout),
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit, fastest = (cores / sum(column) for column in zip(*parts.values(), strict=True))
    medians = {name: part.median for name, part in parts.items()}
    print(json.dumps({**medians, "cores": cores, "limit_fps": limit, "fastest_limit_fps": fastest}))


if __name__ == "__main__":
    main()
