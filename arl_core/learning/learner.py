"""The learner: turns batches into optimiser steps and published weights. The same object in its process and in serial mode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from arl_core.algorithms.base import Algorithm, Targets
from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.weights import WeightsBoard
from arl_core.learning.auxiliary import Auxiliaries, check_scalar, made
from arl_core.learning.optimizers import make_optimizer
from arl_core.learning.schedules import LearningRate
from arl_core.learning.snapshots import SnapshotPool
from arl_core.learning.stacks import FrameStacks
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe

LIVE_HYPERPARAMETERS = frozenset(
    {
        "learning_rate", "gamma", "gae_lambda", "exploration_loss_coeff", "value_loss_coeff", "kl_loss_coeff",
        "ppo_clip_ratio", "ppo_clip_value", "max_grad_norm", "max_policy_lag", "reward_scale", "reward_clip", "ppo_epochs",
        "vtrace_rho", "vtrace_c",
    }
)  # fmt: skip


class LearnerFault(RuntimeError):
    """Loss or gradient is not finite; the weights are those before the step."""


def _algorithm(recipe: ModelRecipe) -> Algorithm:
    """The run's algorithm. Raises UserError for what is none."""
    algorithm: Algorithm = made(f"algorithm '{recipe.cfg.algo}'", recipe, recipe.parts.algorithm)
    if not all(callable(getattr(algorithm, name, None)) for name in ("prepare", "loss")):
        kind = type(algorithm).__name__
        raise UserError(f"algorithm '{recipe.cfg.algo}' is {kind}, without prepare and loss: derive it from PolicyGradient")
    return algorithm


class Learner:
    """Network, optimiser and counters of one policy."""

    def __init__(self, recipe: ModelRecipe, board: WeightsBoard, device: str, policy: int = 0) -> None:
        self._recipe = recipe
        self.cfg: RunConfig = recipe.cfg
        self.policy = policy
        self.device = torch.device(device)
        self.model = recipe.build().to(self.device)
        self.flat = flatten_module(self.model)
        if self.cfg.torch_compile:
            # one thread: more would be processes of torch's own, which nobody here looks after
            options: dict[str, Any] = {"compile_threads": 1}
            self.model.evaluate = torch.compile(self.model.evaluate, options=options)  # type: ignore[method-assign]
        self.board = board
        self.version = 0  # optimiser steps, and one for each set of weights from outside
        self.frames = 0
        self.progress = 0.0  # part of the run's frames that has been trained on, for the schedule; who calls `train` knows it
        self.metrics: dict[str, float] = {}
        cfg = self.cfg
        self.optimizer = make_optimizer(cfg, self.flat)
        self.learning_rate = LearningRate(cfg)
        self.algorithm = _algorithm(recipe)
        self.auxiliaries = Auxiliaries(recipe, self.model, self.device) if recipe.parts.losses else None
        self.snapshots: SnapshotPool | None = None  # with self-play
        self.beat: Callable[[], None] = lambda: None  # called after each optimiser step: an iteration may take long
        self._is_seen = False  # to train without replacing what is published
        self._shuffle = torch.Generator()
        self._shuffle.manual_seed(cfg.seed)

    def take_published(self) -> None:
        """Begin with the weights, and the version, that are on the board."""
        weights = torch.empty(self.flat.nbytes, dtype=torch.uint8)
        self.version = self.board.read_into(weights.numpy())
        self.flat.read_from(weights)

    def publish(self) -> None:
        """Make the present weights and normalisers those that act."""
        self.flat.write_to(torch.from_numpy(self.board.buffer_to_write()))
        self.board.publish(self.version)

    def train(self, batch: TrainingBatch, frames: int, *, with_metrics: bool, stacks: FrameStacks | None = None) -> None:
        """`ppo_epochs` passes over the batch in minibatches; then publish.

        `frames` valid frames are in it; `stacks`: what to make of observations that are frames. `metrics` are refreshed when
        `with_metrics` (reading them waits for the device).
        """
        if not frames:
            return  # nothing but resets: Adam's momentum alone must not move the weights
        cfg = self.cfg
        is_valid = batch.valid  # here, whatever the batch's device
        if self.device.type != "cpu":
            batch = batch.to(self.device)
        if stacks is not None:
            batch = stacks.whole(batch)
        if self.auxiliaries is not None:
            batch.bonus = self.auxiliaries.bonus(batch)
        rows, valid = {key: value[:-1].flatten(0, 1) for key, value in batch.obs.items()}, batch.valid.flatten()
        targets = self.algorithm.prepare(self.model, batch, cfg)
        if targets is not None and self._draws_transitions(batch):
            batch, targets, is_valid = batch.transitions(), targets.transitions(), is_valid.reshape(1, -1)
        returns: list[tuple[Tensor, Tensor]] = []  # with their validity, where they are normalised
        last: dict[str, Tensor] = {}
        for epoch in range(cfg.ppo_epochs):
            pieces = self._minibatches(is_valid)
            for number, piece in enumerate(pieces):
                wanted = with_metrics and epoch == cfg.ppo_epochs - 1 and number == len(pieces) - 1
                part = batch if piece is None else batch.columns(piece)
                part_targets = targets if piece is None or targets is None else targets.columns(piece)
                last = self._step(part, part_targets, wanted)
                self.beat()
                if self.model.returns_norm is not None and epoch == 0:
                    returns.append(self._returns_of(part))
            self.learning_rate.after_epoch()
        self.model.preprocess.update(rows, valid)
        if self.model.returns_norm is not None:
            self.model.returns_norm.update(*(torch.cat(parts) for parts in zip(*returns, strict=True)))
        self.frames += frames
        if not self._is_seen:
            self._check_in_place()
        self.publish()
        if self.snapshots is not None:
            self.snapshots.consider(self.frames, self.flat)
        if with_metrics:
            self.metrics = {key: float(value) for key, value in last.items()}
            self.metrics["learning_rate"] = self.optimizer.lr
            if not math.isfinite(self.metrics["grad_norm"]):  # a GPU is not waited for at every step: found here
                raise LearnerFault(f"the gradient was not finite at optimiser step {self.version}; the last checkpoint is good")

    def _check_in_place(self) -> None:
        """After the first batch. Raises UserError where the network has replaced a tensor: nobody who acts would see it."""
        replaced = self.flat.replaced_in(self.model)
        if replaced:
            raise UserError(
                f"the network has put another tensor in the place of its '{replaced}' while it trained (self.x = ...). Who "
                "acts does not see that: change parameters and buffers in place (self.x.copy_(...), mul_, add_)"
            )
        self._is_seen = True

    def _cure(self, batch: TrainingBatch) -> str:
        """What to do where a step cannot be made."""
        if batch.bonus is not None and not bool(torch.isfinite(batch.bonus).all()):
            return "The bonus of a further loss is not finite"
        if not self.version:
            return "No step was made before: look at network, algorithm, further losses and the size of rewards"
        return "A lower learning_rate or reward_scale usually helps"

    def _draws_transitions(self, batch: TrainingBatch) -> bool:
        """Whether minibatches are drawn from all transitions (PPO: Schulman et al. 2017, algorithm 1), not from trajectories:
        where neither network nor further losses go along trajectories. The targets are known."""
        cfg = self.cfg
        is_split = cfg.batch_size < batch.valid.numel()
        return is_split and cfg.shuffle_minibatches and not self.model.state_size and self.auxiliaries is None

    def _minibatches(self, is_valid: Tensor) -> list[Tensor | slice | None]:
        """Which columns of the batch each optimiser step takes, in order; None: all as they lie. `is_valid` [T, B]: a
        minibatch of agents that were out of the game makes no step, as Adam's momentum alone would move the weights."""
        horizon, columns = is_valid.shape
        size, rest = divmod(self.cfg.batch_size, horizon)
        if size >= columns:
            return [None]
        if rest:
            raise UserError(
                f"batch_size ({self.cfg.batch_size}) must be a multiple of rollout ({horizon}): this network or algorithm "
                "trains on whole trajectories"
            )
        if not self.cfg.shuffle_minibatches:
            slices = [slice(begin, begin + size) for begin in range(0, columns, size)]
            return [piece for piece in slices if is_valid[:, piece].any()]
        order = torch.randperm(columns, generator=self._shuffle)
        wanted = [bool(is_valid[:, piece].any()) for piece in torch.split(order, size)]
        return list(itertools.compress(torch.split(order.to(self.device), size), wanted))

    def _returns_of(self, part: TrainingBatch) -> tuple[Tensor, Tensor]:
        if part.returns is None:
            raise UserError(
                f"algorithm {type(self.algorithm).__name__} leaves no returns: it cannot be used with normalize_returns"
            )
        return part.returns.flatten(), part.valid.flatten()

    def _step(self, batch: TrainingBatch, targets: Targets | None, with_metrics: bool) -> dict[str, Tensor]:
        asked = with_metrics or self.learning_rate.needs_kl
        loss, metrics = self.algorithm.loss(self.model, batch, targets, self.cfg, with_metrics=asked)
        check_scalar(loss, f"the loss of algorithm {type(self.algorithm).__name__}")
        if self.auxiliaries is not None:
            more, values = self.auxiliaries.loss(self.model, batch)
            loss, metrics = loss + more, metrics | values
        self.flat.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.linalg.vector_norm(self.flat.grads)
        if self.auxiliaries is not None:
            norm = torch.hypot(norm, self.auxiliaries.grad_norm())
        if self.device.type == "cpu" and not math.isfinite(norm.item()):
            told = f"the gradient is not finite at optimiser step {self.version} (loss {loss.item()})"
            raise LearnerFault(f"{told}, and this step was not made. {self._cure(batch)}")
        if self.cfg.max_grad_norm > 0:
            scale = (self.cfg.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            self.flat.grads.mul_(scale)
            if self.auxiliaries is not None:
                self.auxiliaries.scale_gradients(scale)
        self.optimizer.lr = self.learning_rate.begin_step(self.progress)
        self._apply()
        if self.auxiliaries is not None:
            self.auxiliaries.step(self.optimizer.lr)
        if self.learning_rate.needs_kl:
            self.learning_rate.after_step(metrics)
        if with_metrics:
            metrics["grad_norm"] = norm
        return metrics

    def _apply(self) -> None:
        """One step of the optimiser with the gradients that are there."""
        self.optimizer.step()
        self.version += 1

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Change hyperparameters of a running learner; validated by the caller."""
        self.cfg = self.cfg.model_copy(update=dict(values))
        if "learning_rate" in values:
            self.learning_rate.rebase(self.cfg.learning_rate)
            self.optimizer.lr = self.cfg.learning_rate

    def load_weights(self, source: Tensor) -> None:
        """Take weights and normalisers from a flat byte vector [nbytes]; the optimiser starts anew."""
        self.flat.read_from(source)
        self.optimizer.reset()
        self.version += 1
        self.publish()

    def state_dict(self, weights: Tensor | None = None) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on exactly, as tensors and plain values. `weights` [nbytes], weights and
        normalisers of this network, stand in for the present ones."""
        if not bool(torch.isfinite(self.flat.params).all()) or not (self.auxiliaries is None or self.auxiliaries.is_finite()):
            raise LearnerFault("the weights are not finite and were not saved; the checkpoint before them stands")
        model = self.model
        if weights is not None:
            model = self._recipe.build()
            flatten_module(model).read_from(weights)
        return {
            "model": {key: value.detach().cpu().clone() for key, value in model.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "version": self.version,
            "frames": self.frames,
            "shuffle": self._shuffle.get_state(),
            "learning_rate": self.learning_rate.state_dict(),
            **({"auxiliaries": self.auxiliaries.state_dict()} if self.auxiliaries is not None else {}),
            **({"snapshots": self.snapshots.state_dict()} if self.snapshots is not None else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: weights, normalisers, optimiser, counters, random stream."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "learning_rate" in state:  # not in checkpoints of before there were adaptive schedules
            self.learning_rate.load_state_dict(state["learning_rate"])
        if self.auxiliaries is not None and "auxiliaries" in state:
            self.auxiliaries.load_state_dict(state["auxiliaries"])
        if self.snapshots is not None and "snapshots" in state:  # not in those of runs without self-play
            self.snapshots.load_state_dict(state["snapshots"])
        self.version = max(int(state["version"]), self.version + 1)  # published versions only rise
        self.frames = int(state["frames"])
        self._shuffle.set_state(state["shuffle"].cpu())
        self.publish()


def make_learner(recipe: ModelRecipe, arena: Arena, shape: SlotShape, device: str, policy: int) -> Learner:
    """The learner of `policy`, which begins with the weights that are published."""
    learner = Learner(recipe, WeightsBoard(arena, policy), device, policy)
    learner.take_published()
    if shape.snapshots_per_policy:
        learner.snapshots = SnapshotPool(arena, shape, policy, recipe.cfg.self_play_every_frames, learner.flat.nbytes)
    return learner
