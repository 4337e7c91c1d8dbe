"""`--num-workers auto`, `--num-envs-per-worker auto`, `--inference measured`: values that follow from a short measurement."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from arl_core.config import ResolvedConfig, RunConfig
from arl_core.config.layers import AUTO_ORIGIN, Layer, merge_layers
from arl_core.interfaces import ResolvedEnv, RunParts, UserError
from arl_core.runtime.measuring.child import measure_in_child
from arl_core.runtime.measuring.parts import ON_CPU, Parts, PartsRequest
from arl_core.runtime.plan import available_cores, make_plan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import Nurseries

SIZES = (4, 16, 64)  # environments in one group, among which is chosen
BUDGET_S = 2.0  # of measurement; a size that would take longer is left out
TIMEOUT_S = 60.0
NEARLY = 1.1  # a size whose frames cost no more than this times the cheapest is as good
MOST_ROWS = {"cpu": max(SIZES), "gpu": 1024}  # of a batch of central inference that is measured
ROUND_TRIP_S = 30e-6  # of a group's request: 9 us where the two processes share a core, otherwise 45 to 50 (decision 9)
ENVS_PER_TRAJECTORY = 2  # environments for each trajectory of an iteration: more make the policy lag, not the run faster

log = logging.getLogger("arl")


class Choice(NamedTuple):
    """A value and what speaks for it."""

    value: int | str
    because: str


def settle(resolved: ResolvedConfig, env: ResolvedEnv, parts: RunParts, nurseries: Nurseries | None) -> ResolvedConfig:
    """The configuration with every `auto` replaced by what was measured; its origin says why. Inference is chosen from the same
    figures, unless somebody has. Raises UserError."""
    if not resolved.auto:
        return resolved
    wanted = _wanted(resolved)
    if not wanted:
        return replace(resolved, auto=wanted)
    made = Nurseries() if nurseries is None else nurseries
    try:
        choices = _measured(resolved.config, wanted, env, parts, made)
    except ComponentFailure as failure:
        names = " and ".join(sorted(resolved.auto))
        raise UserError(f"{names}: cannot be measured: {failure}; give values") from None
    finally:
        if nurseries is None:
            made.close()
    for name, choice in choices.items():
        log.info("%s %s (auto: %s)", name, choice.value, choice.because)
    values = resolved.config.model_dump() | {name: choice.value for name, choice in choices.items()}
    config = merge_layers([Layer("auto", values)]).config
    origins = {**resolved.origins, **{name: f"{AUTO_ORIGIN}{choice.because}" for name, choice in choices.items()}}
    return replace(resolved, config=config, origins=origins, auto=frozenset())


def _wanted(resolved: ResolvedConfig) -> frozenset[str]:
    """The fields that a measurement is to choose."""
    cfg = resolved.config
    if cfg.serial or cfg.hogwild:
        return resolved.auto - {"inference"}  # it is local, whatever is measured
    return resolved.auto | {"inference"} if cfg.inference == "auto" else resolved.auto


def _measured(
    cfg: RunConfig, wanted: frozenset[str], env: ResolvedEnv, parts: RunParts, nurseries: Nurseries
) -> Mapping[str, Choice]:
    sizes = SIZES if "num_envs_per_worker" in wanted else (cfg.num_envs_per_worker,)
    plan = make_plan(cfg, env, parts)
    everyone = min(cfg.num_workers * cfg.num_envs_per_worker, MOST_ROWS["cpu" if plan.device == "cpu" else "gpu"])
    batches = tuple(sorted({*sizes, everyone})) if "inference" in wanted else sizes
    request = PartsRequest(plan, sizes, batches, BUDGET_S / 20, local="inference" in wanted, budget_s=BUDGET_S)
    found = measure_in_child(nurseries, request, TIMEOUT_S)
    return choose(cfg, wanted, found, available_cores(), plan.device)


def choose(cfg: RunConfig, wanted: frozenset[str], parts: Parts, cores: int, device: str = "cpu") -> Mapping[str, Choice]:
    """Values for the fields in `wanted`. Workers: as many as keep the learner busy, no more than cores. Environments: the
    fewest whose frames are nearly the cheapest, no more in all than keep the policy fresh. Inference: local, unless central is
    expected to be clearly faster."""
    costs = {rows: _cost(parts, rows) for rows in parts.environment}
    assert parts.training is not None
    training = parts.training.median
    cheapest = min(costs.values())
    trajectories = cfg.batch_size * cfg.num_batches_per_iteration // cfg.rollout
    most = max(1, ENVS_PER_TRAJECTORY * trajectories)
    found: dict[str, Choice] = {}
    workers, envs = cfg.num_workers, cfg.num_envs_per_worker
    if "num_workers" in wanted:
        useful = math.ceil(cheapest / training)
        at_least = 1 if "num_envs_per_worker" in wanted else envs
        workers = 1 if cfg.serial else max(1, min(useful, cores, most // at_least))
        if not cfg.async_rl:
            workers = _divisor(trajectories, workers)
        reason = f"sampling costs {cheapest * 1e6:.2f} us a frame, training {training * 1e6:.2f}; {cores} cores"
        if workers == most // at_least < min(useful, cores):
            reason += f"; {most} environments are as many as an iteration of {trajectories} trajectories needs"
        found["num_workers"] = Choice(workers, reason)
    if "num_envs_per_worker" in wanted:
        envs, reason = _environments(cfg, costs, workers, most, trajectories)
        found["num_envs_per_worker"] = Choice(envs, reason)
    if "inference" in wanted:
        found["inference"] = _inference(parts, workers, envs, cores, device)
    return found


def _inference(parts: Parts, workers: int, envs: int, cores: int, device: str) -> Choice:
    """By the frames per second that the parts allow: the workers', the learner's, and on a CPU those of all together. With
    central inference a group's step costs a round trip, and a GPU, where there is one, computes it beside training."""
    assert parts.training is not None
    training, sampling = parts.training.median, parts.environment[_nearest(parts.environment, envs)].median
    (alone, acting), (batch, answering) = _acting(parts, envs, device, True), _acting(parts, workers * envs, device, False)
    asking, stepping = sampling + ROUND_TRIP_S / envs, min(workers, cores)
    if device == "cpu":
        local = min(stepping / (sampling + acting), 1 / training, cores / (sampling + acting + training))
        central = min(stepping / asking, 1 / training, cores / (asking + answering + training))
    else:
        local = min(stepping / (sampling + acting), 1 / training)
        central = min(stepping / asking, 1 / (answering + training))
    reason = (
        f"{local:,.0f} frames per second expected of local, {central:,.0f} of central; microseconds a frame: environment "
        f"{sampling * 1e6:.2f}, training {training * 1e6:.2f}, acting in a worker {acting * 1e6:.2f} (batch of {alone}), for "
        f"all on {device} {answering * 1e6:.2f} (batch of {batch}) and {ROUND_TRIP_S / envs * 1e6:.2f} for messages"
    )
    return Choice("central" if central > NEARLY * local else "local", reason)


def _acting(parts: Parts, rows: int, device: str, local: bool) -> tuple[int, float]:
    """(rows, seconds a row) of the measured batch nearest to `rows`."""
    ways = [key for key in parts.inference if device == "cpu" or key[1].startswith(ON_CPU) == local]
    batch = _nearest({size for size, _ in ways}, rows)
    return batch, min(parts.inference[key].median for key in ways if key[0] == batch)


def _nearest(sizes: Collection[int], rows: int) -> int:
    """The largest of `sizes` up to `rows`, or the smallest."""
    return max((size for size in sizes if size <= rows), default=min(sizes))


def _environments(cfg: RunConfig, costs: Mapping[int, float], workers: int, most: int, trajectories: int) -> tuple[int, str]:
    cheapest = min(costs.values())
    best = min(rows for rows, cost in costs.items() if cost <= NEARLY * cheapest)
    value = max(1, min(best, most // workers))
    if not cfg.async_rl:
        value = _divisor(trajectories // workers, value)
    splits = cfg.worker_num_splits or 1
    value = -(-value // splits) * splits
    measured = ", ".join(f"{rows}: {cost * 1e6:.2f}" for rows, cost in costs.items())
    reason = f"microseconds a frame by environments in a group {measured}"
    if value < best:
        reason += f"; at most {most} in all, for an iteration of {trajectories} trajectories"
    return value, reason


def _divisor(number: int, most: int) -> int:
    """The greatest divisor of `number` up to `most`: without async_rl every environment gives the same to an iteration."""
    return max(n for n in range(1, max(most, 1) + 1) if number % n == 0)


def _cost(parts: Parts, rows: int) -> float:
    """Seconds of a worker per frame, with `rows` environments in its group."""
    acting = [seconds.median for (batch, _), seconds in parts.inference.items() if batch == rows]
    return parts.environment[rows].median + min(acting)
