"""Seconds per frame of environment, inference and training, each alone on one thread, with the run's own objects.

What lies between them in a run (slots, messages, bookkeeping, cold caches, waiting) is not in here: the difference between
these parts and the run is the engine's.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.algorithms.batch import TrainingBatch
from arl_core.envs.faults import close_after_use
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.spaces import Squash
from arl_core.interfaces import EnvGroup, StepViews
from arl_core.ipc.arena import Arena
from arl_core.ipc.usage import starved_s
from arl_core.ipc.weights import WeightsBoard
from arl_core.learning.learner import Learner
from arl_core.learning.process import SlotIntake
from arl_core.models.dense_numpy import dense_policy
from arl_core.models.flat import flatten_module
from arl_core.models.policy import PolicyNetwork
from arl_core.models.spaces import ACTION_MASK
from arl_core.models.threads import kernel_threads
from arl_core.runtime.plan import RunPlan
from arl_core.sampling.group_runner import GroupRunner
from arl_core.sampling.replica import ReplicaSpec, make_actor

FIRST_INDEX = 1 << 21  # environments that are measured are numbered from here: no training's stream is one of theirs
ON_CPU = "cpu "  # begins a way of acting on a processor, where others are on a GPU
_BLOCK_S = 0.004  # repetitions take about so long: a clock's resolution is nothing beside it
_FORWARD_PASSES = 32  # for which noise is drawn at once, as for a slot


class Seconds(NamedTuple):
    """Seconds per frame over many repetitions."""

    median: float
    fastest: float


@dataclass(frozen=True)
class PartsRequest:
    """What to measure. `seconds` for each figure."""

    plan: RunPlan
    group_sizes: tuple[int, ...]  # environments that step together
    batches: tuple[int, ...]  # rows of one forward pass
    seconds: float
    training: bool = True
    local: bool = False  # where a GPU computes, acting on a processor too (ways "cpu ..."), for the rows of `group_sizes`
    budget_s: float = math.inf  # sizes that would take longer than this in all are left out


@dataclass
class Parts:
    """What was measured: seconds per frame by rows, and by rows and way ("numpy", "torch") for inference."""

    environment: dict[int, Seconds] = field(default_factory=dict)
    inference: dict[tuple[int, str], Seconds] = field(default_factory=dict)
    training: Seconds | None = None
    build_s: float = 0.0  # for one environment

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        ways = [{"rows": rows, "way": way, **seconds._asdict()} for (rows, way), seconds in self.inference.items()]
        sizes = [{"rows": rows, **seconds._asdict()} for rows, seconds in self.environment.items()]
        training = None if self.training is None else self.training._asdict()
        return {**asdict(self), "environment": sizes, "inference": ways, "training": training}


def measure_parts(request: PartsRequest) -> Parts:
    """Measure in this process, on one thread. Raises what the environment raises."""
    with kernel_threads(1):
        parts = Parts()
        begin = time.perf_counter()
        for rows, following in zip(request.group_sizes, (*request.group_sizes[1:], 0), strict=True):
            started = time.perf_counter()
            stage = Stage(request.plan, rows)
            try:
                parts.build_s = stage.build_s / rows
                parts.environment[rows] = stage.environment_seconds(request.seconds)
                now = time.perf_counter()
                expected_s = (now - started) * following / rows
                if not following or now - begin + expected_s > request.budget_s:
                    _network(request, stage, parts)
                    break
            finally:
                stage.close()
        return parts


def _network(request: PartsRequest, stage: Stage, parts: Parts) -> None:
    model = request.plan.recipe.build().eval()
    for rows in request.batches:
        obs = {key: np.resize(array, (rows, *array.shape[1:])) for key, array in stage.views.obs.items()}
        for way, seconds in inference_seconds(model, obs, request.plan.device, request.seconds).items():
            parts.inference[rows, way] = seconds
        if request.local and request.plan.device != "cpu" and rows in request.group_sizes:
            for way, seconds in inference_seconds(request.plan.recipe.build().eval(), obs, "cpu", request.seconds).items():
                parts.inference[rows, f"{ON_CPU}{way}"] = seconds
    if request.training:
        torch.set_num_threads(request.plan.cfg.torch_threads or 1)
        parts.training = stage.training_seconds(request.seconds)


def _clock_s() -> float:
    """Time that goes by for this process: stands still while others have the cores that it is ready for. CPU time would not
    do: an environment may wait for a game in a process of its own. A reading costs 10 us."""
    return time.perf_counter() - starved_s()


def repeated(run: Callable[[], int], seconds: float) -> Seconds:
    """Repeat `run`, which returns its frames, for `seconds`, in blocks of some milliseconds."""
    begin = time.perf_counter()
    run()  # what happens once only, such as the first touch of memory, is not measured
    count = max(1, int(_BLOCK_S / max(time.perf_counter() - begin, 1e-9)))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = _clock_s()
        frames = sum(run() for _ in range(count))
        if frames:
            times.append((_clock_s() - begin) / frames)
    return Seconds(statistics.median(times), min(times))


def inference_seconds(model: PolicyNetwork, obs: dict[str, NDArray[Any]], device: str, seconds: float) -> dict[str, Seconds]:
    """Seconds per row of acting on obs {key: [N, ...]}, by the way in which it is computed."""
    rows = len(next(iter(obs.values())))
    model = model.to(torch.device(device))
    flatten_module(model)
    found = {"torch": repeated(_torch_pass(model, obs, rows, torch.device(device)), seconds)}
    policy = dense_policy(model) if device == "cpu" else None
    if policy is not None:
        noise = torch.empty(_FORWARD_PASSES, rows, model.dist.noise_size)
        outputs = np.empty((rows, model.dist.params_size + 1), np.float32)
        actions = torch.empty(rows, model.dist.action_size, dtype=model.dist.action_dtype).numpy()
        generator = torch.Generator()

        def run() -> int:
            for drawn in model.dist.draw_noise(noise, generator).numpy():
                policy.outputs_into(obs, outputs)
                policy.choose_into(actions, outputs[:, :-1], obs.get(ACTION_MASK), drawn)
            return _FORWARD_PASSES * rows

        found["numpy"] = repeated(run, seconds)
    return found


def _torch_pass(model: PolicyNetwork, arrays: dict[str, NDArray[Any]], rows: int, device: torch.device) -> Callable[[], int]:
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    noise = torch.empty(_FORWARD_PASSES, rows, model.dist.noise_size, device=device)
    outputs = torch.empty(rows, model.dist.params_size + 1, device=device)
    actions = torch.empty(rows, model.dist.action_size, dtype=model.dist.action_dtype, device=device)
    state = torch.zeros(rows, model.state_size, device=device) if model.state_size else None
    generator = torch.Generator(device=device)

    def run() -> int:
        with torch.inference_mode():
            for drawn in model.dist.draw_noise(noise, generator).unbind():
                obs = {key: tensor.to(device) for key, tensor in tensors.items()}
                model.outputs_into(obs, state, outputs)
                model.dist.choose_into(actions, outputs[:, :-1], obs.get(ACTION_MASK), drawn)
                outputs.cpu()
                actions.cpu()
        return _FORWARD_PASSES * rows

    return run


class Stage:
    """One group of environments with all that the run would put around it, in this process: a plan of one worker. One policy
    plays every agent: several cost the same."""

    def __init__(self, plan: RunPlan, num_envs: int) -> None:
        alone = {"num_workers": 1, "num_policies": 1, "hogwild": False, "eval_every_sec": 0.0, "eval_every_frames": 0}
        cfg = plan.cfg.model_copy(update=alone)
        rows = num_envs * plan.shape.num_agents
        shape = replace(plan.shape, num_groups=1, group_size=rows, slots_per_group=2, slots_per_iteration=0)
        shape = replace(shape, num_policies=1, snapshots_per_policy=0)
        self.plan = replace(plan, cfg=cfg, shape=shape, groups_per_worker=1, inference="local", casting=None)
        begin = time.perf_counter()
        self.group: EnvGroup = build_group(plan.env, make_contexts(cfg.seed, FIRST_INDEX, num_envs))
        self.build_s = time.perf_counter() - begin
        self._arena = Arena.create(self.plan.table)
        board = WeightsBoard(self._arena, 0)
        board.clear()
        self._learner = Learner(plan.recipe, board, plan.device)
        self._learner.publish()
        self.intake = SlotIntake(self._learner, self._arena, shape)
        self.runner = GroupRunner(self.group, 0, self._arena, shape)
        self.actor = make_actor(ReplicaSpec(plan.recipe, stream=0), self._arena, shape, range(1))
        self.actor.refresh()
        self.slot = self._fill_slot()
        obs = {key: value.copy() for key, value in self.runner.present.items()}
        flags = np.zeros((3, rows), bool)
        self.views = StepViews(obs, np.zeros(rows, np.float32), *flags)

    def _fill_slot(self) -> int:
        """Play one slot with the untrained policy; returns it, now the learner's."""
        self.runner.reset()
        while (slot := self.intake.inbox.oldest_full()) < 0:
            self.runner.ready()
            self.actor.act_one(0, self.runner.slot, self.runner.t)
            self.runner.step()
        return slot

    def environment_seconds(self, seconds: float) -> Seconds:
        """Per valid frame; a reset's time is its episode's. The actions are the slot's, over and over; where there are masks,
        which they might offend, the policy chooses anew, outside of the measured time."""
        group, views = self.group, self.views
        if ACTION_MASK in views.obs:
            return self._masked_environment_seconds(seconds)
        actions: NDArray[Any] = self._arena["actions"][self.slot].copy()
        if self.plan.shape.squashed:
            actions = Squash(self.plan.shape.squashed)(actions)
        steps = list(actions)

        def run() -> int:
            frames = 0
            for row in steps:
                group.send(row)
                group.recv_into(views)
                frames += int(np.count_nonzero(views.valid))
            return frames

        return repeated(run, seconds)

    def _masked_environment_seconds(self, seconds: float) -> Seconds:
        """The runner's steps, slot after slot, with the little that it does around the environment's own calls."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        runner, inbox, actor = self.runner, self.intake.inbox, self.actor
        while not times or time.perf_counter() < end:
            inbox.release(self.slot)
            spent, wall_s, clock_s = 0.0, time.perf_counter(), _clock_s()
            while (slot := inbox.oldest_full()) < 0:
                runner.ready()
                actor.act_one(0, runner.slot, runner.t)
                begin = time.perf_counter()
                runner.step()
                spent += time.perf_counter() - begin
            frames = int(np.count_nonzero(self._arena["valid"][slot]))
            self.slot = slot
            had_core = (_clock_s() - clock_s) / (time.perf_counter() - wall_s)
            times.append(spent * had_core / max(frames, 1))
        return Seconds(statistics.median(times), min(times))

    def training_seconds(self, seconds: float) -> Seconds:
        """Per valid frame of an iteration: all passes over it, optimiser and publication included. The batch is the one slot,
        as often as it takes; every repetition begins with the same weights."""
        learner, assembler = self._learner, self.intake.assembler
        while not assembler.complete:
            assembler.add(self.slot)
        batch: TrainingBatch = assembler.take()
        if assembler.stacks is not None:
            batch = assembler.stacks.whole(batch)
        frames = int(batch.valid.sum())
        weights = torch.empty(learner.flat.nbytes, dtype=torch.uint8)
        learner.flat.write_to(weights)
        times: list[float] = []
        end = time.perf_counter() + seconds
        learner.train(batch, frames, with_metrics=False)
        while not times or time.perf_counter() < end:
            learner.flat.read_from(weights)
            begin = _clock_s()
            learner.train(batch, frames, with_metrics=False)
            times.append((_clock_s() - begin) / frames)
        return Seconds(statistics.median(times), min(times))

    def close(self) -> None:
        """Close the environments."""
        close_after_use(self.group)
        self._arena.close()
