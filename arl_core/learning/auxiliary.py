"""The run's auxiliary losses and intrinsic rewards (`arl_losses`), with their parameters and their optimiser."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from arl_core.algorithms.base import AuxiliaryLoss
from arl_core.algorithms.batch import TrainingBatch
from arl_core.interfaces import UserError
from arl_core.learning.optimizers import FlatOptimizer, make_optimizer
from arl_core.models.flat import flatten_module
from arl_core.models.policy import PolicyNetwork
from arl_core.models.recipe import ModelRecipe, initial_weights

log = logging.getLogger("arl")


def made(what: str, recipe: ModelRecipe, maker: str, /, *arguments: Any, **options: Any) -> Any:
    """What the `maker` of a plugin's part makes. Raises UserError that names the part where it raises, or ends, anything."""
    try:
        return recipe.load(maker)(*arguments, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        log.info("%s", traceback.format_exc().rstrip())
        raise UserError(f"{what} ({maker}) cannot be made: {type(error).__name__}: {error}") from error


def check_scalar(loss: Any, whose: str) -> None:
    """Raise UserError where `loss` cannot be minimised as it is."""
    if not isinstance(loss, Tensor):
        raise UserError(f"{whose} is {type(loss).__name__}, not a tensor")
    if loss.dim():
        raise UserError(f"{whose} is of shape {tuple(loss.shape)}, not a scalar: take the mean over valid entries")


def _check_apart(name: str, loss: nn.Module, model: nn.Module) -> None:
    """Raise UserError where a loss has tensors of the network among its own: they would be moved away from what is published,
    and the policy that acts would stay as it began."""
    network = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for key, tensor in (*loss.named_parameters(), *loss.named_buffers()):
        if id(tensor) in network:
            raise UserError(
                f"loss '{name}' has the network's '{key}' among its own parameters. loss() is given the network; to keep it, "
                "put it where torch does not look for parts, such as a tuple: self.network = (model,)"
            )


def _named_metrics(name: str, metrics: Any) -> dict[str, Tensor]:
    """The metrics of the loss `name`, called "<loss>/<metric>". Raises UserError for one that is no number."""
    if not isinstance(metrics, Mapping):
        raise UserError(f"loss '{name}': its metrics are {type(metrics).__name__}, not a dict of numbers")
    for metric, value in metrics.items():
        if not (value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float | np.number)):
            found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__} {value!r:.40}"
            raise UserError(f"loss '{name}': its metric '{metric}' is {found}, not one number")
    return {f"{name}/{metric}": value for metric, value in metrics.items()}


def _is_same(saved: str, own: str) -> bool:
    """Whether two names are of one loss: a script's has the name `py:__main__:Novelty` in the script's own runs, and that of a
    module everywhere else."""
    (*place, loss), (*own_place, own_loss) = saved.split(":"), own.split(":")
    in_script = ["py", "__main__"] in (place, own_place) and place[:1] == own_place[:1]
    return saved == own or (in_script and loss == own_loss)


class Auxiliaries:
    """They live in the learner alone: nothing of them is published to those who act."""

    def __init__(self, recipe: ModelRecipe, model: PolicyNetwork, device: torch.device) -> None:
        cfg = recipe.cfg
        self._losses: dict[str, AuxiliaryLoss] = {}
        with initial_weights(cfg.seed + 1):  # not the network's stream: its weights do not depend on what is added here
            for name, maker, options in recipe.parts.losses:
                loss = made(f"loss '{name}'", recipe, maker, model, recipe.obs_space, recipe.action_space, cfg, **options)
                if not isinstance(loss, AuxiliaryLoss):
                    raise UserError(f"loss '{name}' is {type(loss).__name__}, not an AuxiliaryLoss")
                _check_apart(name, loss, model)
                self._losses[name] = loss
        self._modules = nn.ModuleList(self._losses.values()).to(device)
        trained = [parameter for parameter in self._modules.parameters() if parameter.requires_grad]
        self._flat = flatten_module(self._modules) if trained else None
        self._optimizer: FlatOptimizer | None = make_optimizer(cfg, self._flat) if self._flat is not None else None

    @torch.no_grad()
    def bonus(self, batch: TrainingBatch) -> Tensor | None:
        """The sum of the intrinsic rewards [T, B]; None where no loss gives one. Raises UserError for one of another shape."""
        total: Tensor | None = None
        for name, loss in self._losses.items():
            bonus = loss.bonus(batch)
            if bonus is None:
                continue
            if not isinstance(bonus, Tensor) or bonus.shape != batch.rewards.shape:
                wanted = tuple(batch.rewards.shape)
                found = tuple(bonus.shape) if isinstance(bonus, Tensor) else type(bonus).__name__
                raise UserError(f"loss '{name}': bonus is {found}, not of each transition, [T, B] = {wanted}")
            total = bonus if total is None else total + bonus
        return total

    def loss(self, model: PolicyNetwork, batch: TrainingBatch) -> tuple[Tensor | float, dict[str, Tensor]]:
        """The sum of the losses, and their metrics, named "<loss>/<metric>". Raises UserError for one that is no scalar."""
        if self._flat is not None:
            self._flat.zero_grad()
        total: Tensor | float = 0.0
        metrics: dict[str, Tensor] = {}
        for name, loss in self._losses.items():
            result = loss.loss(model, batch)
            if result is not None:
                if not isinstance(result, tuple) or len(result) != 2:
                    raise UserError(f"loss '{name}': loss gives {type(result).__name__}, not (loss, metrics)")
                check_scalar(result[0], f"loss '{name}'")
                total = total + result[0]
                metrics |= _named_metrics(name, result[1])
        return total, metrics

    def grad_norm(self) -> Tensor:
        """The norm of our own gradients, a scalar on the CPU where we have none."""
        return torch.zeros(()) if self._flat is None else torch.linalg.vector_norm(self._flat.grads)

    def scale_gradients(self, scale: Tensor) -> None:
        """Multiply our own gradients by `scale`: they are clipped together with the network's."""
        if self._flat is not None:
            self._flat.grads.mul_(scale)

    def is_finite(self) -> bool:
        """Whether all parameters are finite numbers."""
        return self._flat is None or bool(torch.isfinite(self._flat.params).all())

    def step(self, lr: float) -> None:
        """One step with the gradients that the learner's backward pass has left."""
        if self._optimizer is not None:
            self._optimizer.lr = lr
            self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Parameters, buffers and optimiser, CPU tensors by value."""
        optimizer = self._optimizer.state_dict() if self._optimizer is not None else {}
        modules = {key: value.detach().cpu().clone() for key, value in self._modules.state_dict().items()}
        return {"names": list(self._losses), "modules": modules, "optimizer": optimizer}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Raises RuntimeError or ValueError where it does not fit."""
        own = list(self._losses)
        saved = state.get("names", own)  # not in checkpoints of before they were written, and once as typed, "dist::name"
        saved = [name.rpartition("::")[2] for name in saved]
        if len(saved) != len(own) or not all(map(_is_same, saved, own)):
            raise ValueError(f"they are {', '.join(saved)}, this run's are {', '.join(own)}")
        self._modules.load_state_dict(state["modules"])
        if self._optimizer is not None:
            self._optimizer.load_state_dict(state["optimizer"])


def check_losses(recipe: ModelRecipe, learner: Mapping[str, Any]) -> None:
    """Raise ValueError, one line, where a learner's saved state is of other losses than the recipe's. Where either has none,
    nothing is loaded."""
    if not recipe.parts.losses or "auxiliaries" not in learner:
        return
    try:
        Auxiliaries(recipe, recipe.build(), torch.device("cpu")).load_state_dict(learner["auxiliaries"])
    except Exception as error:  # a plugin's module raises anything
        what = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"its losses do not fit: {what}. Name the same losses with the same options, or none") from error
