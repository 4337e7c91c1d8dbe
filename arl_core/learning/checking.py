"""Whether a checkpoint can be loaded into this run: found out before anything of the run is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from arl_core.config.limits import MAX_FRAMES
from arl_core.interfaces import MAX_PLAYERS, UserError
from arl_core.learning.auxiliary import check_losses
from arl_core.learning.checkpoint import weights_in
from arl_core.learning.optimizers import OPTIMIZERS, check_moments, make_optimizer
from arl_core.learning.schedules import LearningRate
from arl_core.learning.snapshots import check_snapshots
from arl_core.models.checking import check_weights
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe

# of frames and optimiser steps: they are added up over policies, and a version is multiplied by three on its board
_MOST = MAX_FRAMES // (MAX_PLAYERS + 1)
_REQUIRED = {"model", "optimizer", "version", "frames", "shuffle"}


def check_checkpoint(recipe: ModelRecipe, path: Path, state: Mapping[str, Any]) -> None:
    """Raise UserError, one line, where a learner of `recipe` could not go on from `state`, which `path` holds. Everything is
    loaded on trial, into objects that are thrown away: a fault in the learner's process would end the run."""
    try:
        _check(recipe, state)
    except ValueError as error:
        raise UserError(f"checkpoint {path} does not fit: {error}") from error


def _check(recipe: ModelRecipe, state: Mapping[str, Any]) -> None:
    model = recipe.build()
    check_weights(model.state_dict(), weights_in(state))
    learner = state["learner"]
    missing = _REQUIRED - learner.keys()
    if missing:
        raise ValueError(f"it is not a checkpoint of a run: it has no {', '.join(sorted(missing))}")
    check_moments(OPTIMIZERS[recipe.cfg.optimizer], learner["optimizer"])
    flat = flatten_module(model)
    trials: dict[str, Callable[[Any], object]] = {
        "optimizer": make_optimizer(recipe.cfg, flat).load_state_dict,
        "version": _check_count,
        "frames": _check_count,
        "shuffle": torch.Generator().set_state,
        "learning_rate": LearningRate(recipe.cfg).load_state_dict,
        "snapshots": partial(check_snapshots, weights_bytes=flat.nbytes),
    }
    for name, load in trials.items():
        if name not in learner:  # the last two: not before there were adaptive schedules, and not without self-play
            continue
        try:
            load(learner[name])
        except Exception as error:  # values of wrong types raise anything
            what = " ".join(str(error).split())
            raise ValueError(f"its '{name}' cannot be loaded: {type(error).__name__}: {what}") from error
    check_losses(recipe, learner)


def _check_count(value: Any) -> None:
    if not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError(f"expected a whole number from 0 to {_MOST}, got {str(value)[:40]}")
