"""`--num-workers auto`, `--num-envs-per-worker auto`: values that follow from two seconds of measurement."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from arl_core.config import ResolvedConfig, RunConfig
from arl_core.config.layers import AUTO_ORIGIN, Layer, merge_layers
from arl_core.interfaces import ResolvedEnv, RunParts, UserError
from arl_core.runtime.engine import ComponentFailure
from arl_core.runtime.measuring.child import measure_in_child
from arl_core.runtime.measuring.parts import Parts, PartsRequest
from arl_core.runtime.nurseries import Nurseries
from arl_core.runtime.plan import available_cores, make_plan

SIZES = (4, 16, 64)  # environments in one group, among which is chosen
BUDGET_S = 2.0  # of measurement; a size that would take longer is left out
TIMEOUT_S = 60.0
NEARLY = 1.1  # a size whose frames cost no more than this times the cheapest is as good
ENVS_PER_TRAJECTORY = 2  # environments for each trajectory of an iteration: more make the policy lag, not the run faster

log = logging.getLogger("arl")


class Choice(NamedTuple):
    """A value and what speaks for it."""

    value: int
    because: str


def settle(resolved: ResolvedConfig, env: ResolvedEnv, parts: RunParts, nurseries: Nurseries | None) -> ResolvedConfig:
    """The configuration with every `auto` replaced by what was measured; its origin says why. Raises UserError."""
    if not resolved.auto:
        return resolved
    made = Nurseries() if nurseries is None else nurseries
    try:
        choices = _measured(resolved, env, parts, made)
    except ComponentFailure as failure:
        raise UserError(f"{' and '.join(sorted(resolved.auto))}: auto cannot be measured: {failure}; give numbers") from None
    finally:
        if nurseries is None:
            made.close()
    for name, choice in choices.items():
        log.info("%s %d (auto: %s)", name, choice.value, choice.because)
    values = resolved.config.model_dump() | {name: choice.value for name, choice in choices.items()}
    config = merge_layers([Layer("auto", values)]).config
    origins = {**resolved.origins, **{name: f"{AUTO_ORIGIN}{choice.because}" for name, choice in choices.items()}}
    return replace(resolved, config=config, origins=origins, auto=frozenset())


def _measured(resolved: ResolvedConfig, env: ResolvedEnv, parts: RunParts, nurseries: Nurseries) -> Mapping[str, Choice]:
    cfg = resolved.config
    sizes = SIZES if "num_envs_per_worker" in resolved.auto else (cfg.num_envs_per_worker,)
    plan = make_plan(cfg, env, parts)
    request = PartsRequest(plan, sizes, sizes, BUDGET_S / 20, budget_s=BUDGET_S)
    found = measure_in_child(nurseries, request, TIMEOUT_S)
    return choose(cfg, resolved.auto, found, available_cores())


def choose(cfg: RunConfig, wanted: frozenset[str], parts: Parts, cores: int) -> Mapping[str, Choice]:
    """Values for the fields in `wanted`. Workers: as many as keep the learner busy, no more than cores. Environments: the
    fewest whose frames are nearly the cheapest, no more in all than keep the policy fresh."""
    costs = {rows: _cost(parts, rows) for rows in parts.environment}
    assert parts.training is not None
    training = parts.training.median
    cheapest = min(costs.values())
    trajectories = cfg.batch_size * cfg.num_batches_per_iteration // cfg.rollout
    most = max(1, ENVS_PER_TRAJECTORY * trajectories)
    found: dict[str, Choice] = {}
    workers = cfg.num_workers
    if "num_workers" in wanted:
        useful = math.ceil(cheapest / training)
        envs = 1 if "num_envs_per_worker" in wanted else cfg.num_envs_per_worker
        workers = 1 if cfg.serial else max(1, min(useful, cores, most // envs))
        if not cfg.async_rl:
            workers = _divisor(trajectories, workers)
        reason = f"sampling costs {cheapest * 1e6:.2f} us a frame, training {training * 1e6:.2f}; {cores} cores"
        if workers == most // envs < min(useful, cores):
            reason += f"; {most} environments are as many as an iteration of {trajectories} trajectories needs"
        found["num_workers"] = Choice(workers, reason)
    if "num_envs_per_worker" in wanted:
        found["num_envs_per_worker"] = _environments(cfg, costs, workers, most, trajectories)
    return found


def _environments(cfg: RunConfig, costs: Mapping[int, float], workers: int, most: int, trajectories: int) -> Choice:
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
    return Choice(value, reason)


def _divisor(number: int, most: int) -> int:
    """The greatest divisor of `number` up to `most`: without async_rl every environment gives the same to an iteration."""
    return max(n for n in range(1, max(most, 1) + 1) if number % n == 0)


def _cost(parts: Parts, rows: int) -> float:
    """Seconds of a worker per frame, with `rows` environments in its group."""
    acting = [seconds.median for (batch, _), seconds in parts.inference.items() if batch == rows]
    return parts.environment[rows].median + min(acting)
