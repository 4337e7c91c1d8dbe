from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.interfaces import RunParts
from arl_core.ipc.arena import Arena
from arl_core.ipc.weights import WeightsBoard, weights_specs
from arl_core.learning.learner import Learner
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe
from arl_core.runtime.processes.zygote import Zygote

OBS = spaces.Box(-10, 10, (6,), np.float32)
ACTIONS = spaces.Discrete(4)

PARTS = RunParts("arl_core.models.encoders:default_encoder", "arl_core.algorithms.appo:Appo")


class Children:
    """Real processes that run functions of `learning_children`."""

    def __init__(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))
        try:
            self._zygote = Zygote(["learning_children"])
        finally:
            sys.path.pop(0)

    def start(self, function: str, **kwargs: Any) -> int:
        return self._zygote.spawn("test", f"learning_children:{function}", kwargs)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.end_of(pid)

    def end_of(self, pid: int) -> int:
        """The exit code of a child that is about to end."""
        deadline = time.monotonic() + 20.0
        while True:
            for exit_ in self._zygote.exits():
                if exit_.pid == pid:
                    return exit_.code
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def close(self) -> None:
        self._zygote.close()


@pytest.fixture(scope="module")  # other rooms' tests look for processes that were left behind
def children() -> Iterator[Children]:
    found = Children()
    yield found
    found.close()


class School:
    """A learner, its board and batches to train on."""

    def __init__(self, **options: Any) -> None:
        self.cfg = RunConfig(**{"hidden_size": 16, "rollout": 4, "batch_size": 32, "normalize_input": True, **options})
        self.recipe = ModelRecipe(OBS, ACTIONS, self.cfg, PARTS)
        self.arena = Arena.create(weights_specs(1, flatten_module(self.recipe.build()).nbytes))
        board = WeightsBoard(self.arena, 0)
        board.clear()
        self.learner = Learner(self.recipe, board, "cpu")

    def published(self) -> tuple[int, torch.Tensor]:
        """Version and byte vector on the board."""
        target = torch.empty(self.learner.flat.nbytes, dtype=torch.uint8)
        return WeightsBoard(self.arena, 0).read_into(target.numpy()), target

    def batch(self, seed: int, columns: int | None = None) -> TrainingBatch:
        """A random batch with endings, reset rows, and a behaviour policy that is not quite the learner's."""
        generator = torch.Generator()
        generator.manual_seed(seed)
        steps = self.cfg.rollout
        columns = columns or self.cfg.batch_size // steps
        shape = (steps, columns)
        model = self.recipe.build()
        logits = torch.randn(*shape, 4, generator=generator)
        actions = torch.randint(4, (*shape, 1), generator=generator)
        valid = torch.rand(shape, generator=generator) > 0.15
        ended = (torch.rand(shape, generator=generator) < 0.2) & valid
        return TrainingBatch(
            obs={"obs": torch.randn(steps + 1, columns, 6, generator=generator) * 2 + 1},
            actions=actions,
            log_probs=model.dist.log_prob(logits, actions),
            values=torch.randn(shape, generator=generator) / 4,
            params=logits,
            rewards=torch.randn(shape, generator=generator) * valid,
            terminated=ended & (torch.rand(shape, generator=generator) < 0.5),
            truncated=ended & (torch.rand(shape, generator=generator) < 0.5),
            valid=valid,
            rnn_state=torch.randn(columns, model.state_size, generator=generator) if model.state_size else None,
        )

    def train(self, seed: int, *, with_metrics: bool = False) -> None:
        self.learner.progress = self.learner.frames / self.cfg.train_for_env_steps
        batch = self.batch(seed, self.cfg.batch_size * self.cfg.num_batches_per_iteration // self.cfg.rollout)
        self.learner.train(batch, int(batch.valid.sum()), with_metrics=with_metrics)


@pytest.fixture
def make_school() -> Iterator[Callable[..., School]]:
    made: list[School] = []

    def make(**options: Any) -> School:
        made.append(School(**options))
        return made[-1]

    yield make
    for school in made:
        school.arena.close()
