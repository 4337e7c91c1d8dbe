from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.config import RunConfig
from arl_core.envs.group import SingleEnvGroup, make_contexts
from arl_core.envs.spaces import ActionLayout, obs_specs
from arl_core.interfaces import ArraySpec, RunParts
from arl_core.ipc.arena import Arena
from arl_core.ipc.control import control_specs
from arl_core.ipc.mailbox import mailbox_specs
from arl_core.ipc.slots import SlotInbox, SlotShape, slot_specs
from arl_core.ipc.weights import WeightsBoard, weights_specs
from arl_core.models.flat import flatten_module
from arl_core.models.recipe import ModelRecipe
from arl_core.sampling.actor import Actor
from arl_core.sampling.group_runner import GroupRunner

PARTS = RunParts("arl_core.models.encoders:default_encoder", "arl_core.algorithms.appo:Appo")


class Counting(gym.Env[Any, Any]):
    """Observes its number, episode and step and the last action; the k-th step of an episode is worth k.

    Episodes of environment i last i + 2 steps, every second one is truncated. `bad` maps (step of its life) to an
    (observation, reward) of its own.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, number: int, bad: dict[int, tuple[Any, float]] | None = None) -> None:
        self.number, self.bad = number, bad or {}
        self.episode, self.steps, self.life = 0, 0, 0

    def observe(self, action: int) -> Any:
        return np.array([self.number, self.episode, self.steps, action], np.float32) / 4

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self.observe(-1), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        self.life += 1
        over = self.steps == self.number + 2
        observation, reward = self.bad.get(self.life, (self.observe(action), float(self.steps)))
        return (
            observation,
            reward,
            over and self.episode % 2 == 1,
            over and self.episode % 2 == 0,
            {"episode_number": self.episode},
        )


class World:
    """The shared arrays of a small run, with weights published, and what works on them."""

    environment = Counting

    def __init__(
        self,
        *,
        num_groups: int = 1,
        slots: int = 2,
        rollout: int = 5,
        group_size: int = 3,
        env: type[gym.Env[Any, Any]] = Counting,
        components: int = 0,
        **options: Any,
    ) -> None:
        self.cfg = RunConfig(hidden_size=16, rollout=rollout, batch_size=rollout * group_size, **options)
        obs_space, action_space = env.observation_space, env.action_space
        self.recipe = ModelRecipe(
            obs_space,
            action_space,
            self.cfg,
            PARTS,
        )
        self.model = self.recipe.build()
        layout = ActionLayout(action_space)
        self.shape = SlotShape(
            num_policies=1,
            num_groups=num_groups,
            slots_per_group=slots,
            rollout=rollout,
            group_size=group_size,
            obs=obs_specs(obs_space),
            action_size=layout.size,
            action_dtype=layout.dtype,
            params_size=self.model.dist.params_size,
            state_size=self.model.state_size,
        )
        with torch.no_grad():  # the policy's head starts near zero: make what it sees matter
            for parameter in self.model.parameters():
                parameter.add_(0.3 * torch.arange(parameter.numel()).mul(1.7).sin().view(parameter.shape))
        self.flat = flatten_module(self.model)
        self.arena = Arena.create(
            {
                **control_specs(max(components, 1), 1),
                **mailbox_specs("reports", components),
                **mailbox_specs("commands", components),
                **slot_specs(self.shape),
                **weights_specs(1, self.flat.nbytes),
                "learner.counts": ArraySpec((1, 8), "int64"),
            }
        )
        self.board = WeightsBoard(self.arena, 0)
        self.board.clear()
        self.inbox = SlotInbox(self.arena, 0)
        self.publish(0)

    def publish(self, version: int) -> None:
        self.flat.write_to(torch.from_numpy(self.board.buffer_to_write()))
        self.board.publish(version)

    def group(self, index: int = 0, bad: dict[int, dict[int, tuple[Any, float]]] | None = None) -> SingleEnvGroup:
        """Counting environments; `bad` by row."""
        size = self.shape.group_size
        envs = [Counting(row, (bad or {}).get(row)) for row in range(size)]
        return SingleEnvGroup(envs, make_contexts(0, index * size, size))

    def runner(self, index: int = 0, bad: dict[int, dict[int, tuple[Any, float]]] | None = None) -> GroupRunner:
        made = GroupRunner(self.group(index, bad), index, self.arena, self.shape)
        made.reset()
        return made

    def actor(self, seed: int = 0, device: str = "cpu") -> Actor:
        generator = torch.Generator(device)
        generator.manual_seed(seed)
        groups, on = range(self.shape.num_groups), torch.device(device)
        made = Actor(self.recipe.build(), self.arena, self.shape, groups, generator, device=on)
        made.refresh()
        return made

    def rows(self, slot: int) -> dict[str, Any]:
        """Copies of a slot's arrays; the policy's outputs also by their parts, `params` and `values`."""
        by_policy = ("slot.state", "slot.weights_epoch", "versions")
        names = [name for name in slot_specs(self.shape) if not name.startswith("group.") and name not in by_policy]
        rows = {name: self.arena[name][slot].copy() for name in names} | {
            name: self.arena[name][0, slot].copy() for name in by_policy
        }
        return rows | {"params": rows["outputs"][..., :-1], "values": rows["outputs"][..., -1]}

    def tensors(self, slot: int) -> tuple[dict[str, torch.Tensor], torch.Tensor | None, torch.Tensor]:
        """Observations [T+1, E, ...], the state before row 0 and validity [T, E], as the learner takes them."""
        rows = self.rows(slot)
        obs = {key: torch.from_numpy(rows[f"obs.{key}"]) for key in self.shape.obs}
        state = torch.from_numpy(rows["rnn_state"]) if self.shape.state_size else None
        return obs, state, torch.from_numpy(rows["valid"])


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**changes: Any) -> World:
        made.append(World(**changes))
        return made[-1]

    yield make
    for world in made:
        world.arena.close()
