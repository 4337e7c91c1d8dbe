"""The evaluator: a process that plays episodes of its own with the published weights while training goes on.

It has one thread, few environments and the niceness of rollout workers, and plays one evaluation at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from arl_core.envs.faults import close_after_use
from arl_core.envs.group import build_group, make_contexts
from arl_core.interfaces import EnvGroup, ResolvedEnv
from arl_core.ipc.arena import Arena
from arl_core.ipc.component import ComponentLink
from arl_core.ipc.weights import WeightsBoard
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe
from arl_core.sampling.playing import Cast, EpisodesPlay
from arl_core.sampling.replica import action_seed

FIRST_INDEX = 1 << 19  # of its environments: their streams are neither the training's nor those of `arl eval`
MAX_ROWS = 8


@dataclass(frozen=True)
class EvaluatorSpec:
    """What is played, and how much of it."""

    env: ResolvedEnv
    recipe: ModelRecipe
    agents: tuple[int, ...] = (0,)  # the policy of each agent of an environment


class FrozenPlay:
    """Evaluations, one after the other, of whatever weights are published when one begins. Every one plays the same
    episodes, as far as they depend on their environments' seeds. `beat`: as in `build_group`."""

    def __init__(self, spec: EvaluatorSpec, arena: Arena, beat: Callable[[], None] = lambda: None) -> None:
        cfg = spec.recipe.cfg
        self._cfg = cfg
        models = [spec.recipe.build().eval() for _ in range(cfg.num_policies)]
        self._cast = Cast(models, spec.agents)
        self._flats = [flatten_module(model) for model in models]
        self._boards = [WeightsBoard(arena, policy) for policy in range(cfg.num_policies)]
        self._weights = arena["weights.evaluated"]  # those that are played: a learner may save its own as the best
        rows = min(cfg.eval_episodes, MAX_ROWS)
        self.group: EnvGroup = build_group(spec.env, make_contexts(cfg.seed, FIRST_INDEX, rows, evaluation=True), beat)
        self._play: EpisodesPlay | None = None

    @property
    def playing(self) -> bool:
        """Whether an evaluation is under way."""
        return self._play is not None

    def begin(self, frames: int) -> None:
        """Take the newest weights, of about `frames` trained frames."""
        versions = [board.read_into(weights) for board, weights in zip(self._boards, self._weights, strict=True)]
        self._version = versions[0]
        for flat, weights in zip(self._flats, self._weights, strict=True):
            flat.read_from(torch.from_numpy(weights))
        self._frames, self._began = frames, time.monotonic()
        cfg = self._cfg
        seed = action_seed(cfg.seed, FIRST_INDEX)
        self._play = EpisodesPlay(self._cast, self.group, cfg.eval_episodes, seed, deterministic=cfg.eval_deterministic)

    def step(self) -> dict[str, float] | None:
        """One step; the result when it was the last."""
        assert self._play is not None
        if not self._play.step():
            return None
        result, self._play = self._play.result.summary(), None
        about = {"frames": self._frames, "version": self._version, "elapsed_s": time.monotonic() - self._began}
        return {**result, **about}


class Evaluator:
    """The loop of the evaluator's process."""

    def __init__(self, link: ComponentLink, spec: EvaluatorSpec) -> None:
        os.nice(spec.recipe.cfg.niceness)
        torch.set_num_threads(1)
        self.link = link
        self.play = FrozenPlay(spec, link.arena, link.control.beat)

    def run(self) -> None:
        """Until STOP. A pause holds an evaluation where it is."""
        try:
            while True:
                if self.link.changed() and not self.link.obey(lambda: None, lambda: None):
                    return
                self._advance()
                self.link.control.beat()
        finally:
            close_after_use(self.play.group)

    def _advance(self) -> None:
        if not self.play.playing:
            commands = self.link.inbox.take()
            if commands:
                self.play.begin(commands[-1])
            else:
                self.link.wait()
            return
        result = self.play.step()
        if result is not None:
            self.link.outbox.post(("evaluation", result))
