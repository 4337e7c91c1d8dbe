"""A replica of one policy that acts on rows of slots. The same object in rollout workers, policy workers and serial mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.weights import WeightsBoard
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.flat import flatten_module


class _Row(NamedTuple):
    """Views of one row of one slot: where its observations are and where the policy's output goes."""

    obs: dict[str, Tensor]
    outputs: tuple[Tensor, Tensor, Tensor, Tensor]  # actions, log_probs, values, params


class Actor:
    """Acts for `groups` (consecutive numbers), whose recurrent state it keeps.

    `generator` draws the actions; it lives on `device`. Slots stay in the arena's memory, whatever the device.
    """

    def __init__(
        self,
        model: ActorCritic,
        arena: Arena,
        shape: SlotShape,
        groups: range,
        generator: torch.Generator,
        policy: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)
        self.generator = generator
        self.version = -1
        self._flat = flatten_module(self.model)
        self._board = WeightsBoard(arena, policy)
        self._bytes = torch.empty(self._flat.nbytes, dtype=torch.uint8)
        self._first_group = groups.start
        self._recurrent = shape.state_size > 0
        self.state = torch.zeros(len(groups), shape.group_size, shape.state_size)
        self._seen_state = self.state.clone()  # before the last action, for one that is asked for again
        self._last_valid = torch.from_numpy(arena["group.last_valid"])
        self._obs = {key: torch.from_numpy(arena[f"obs.{key}"]) for key in shape.obs}
        self._outputs = tuple(torch.from_numpy(arena[name]) for name in ("actions", "log_probs", "values", "params"))
        self._versions = arena["versions"]
        self._rnn_state = torch.from_numpy(arena["rnn_state"])
        self._rows: dict[tuple[int, int], _Row] = {}

    def refresh(self) -> None:
        """Take the latest published weights, if they are newer than ours."""
        if self._board.version != self.version:
            self.version = self._board.read_into(self._bytes.numpy())
            self._flat.read_from(self._bytes)

    def _row(self, slot: int, t: int) -> _Row:
        row = self._rows.get((slot, t))
        if row is None:
            actions, log_probs, values, params = (array[slot, t] for array in self._outputs)
            obs = {key: array[slot, t] for key, array in self._obs.items()}
            row = _Row(obs, (actions, log_probs, values, params))
            self._rows[slot, t] = row
        return row

    def act_one(self, group: int, slot: int, t: int, *, repeated: bool = False) -> None:
        """Act for one group on views of its row: nothing is gathered, nothing copied but the outputs.

        `repeated`: this observation was acted on already, and that action discarded.
        """
        if self.device.type != "cpu":
            self.act_many([group], [slot], [t], [repeated])
            return
        row = self._row(slot, t)
        with torch.inference_mode():
            state = self._state_before(group, slot, t, repeated) if self._recurrent else None
            out = self.model.act(row.obs, state, self.generator)
            actions, log_probs, values, params = row.outputs
            actions.copy_(out.actions)
            log_probs.copy_(out.log_prob)
            values.copy_(out.value)
            params.copy_(out.params)
            if out.state is not None:
                self.state[group - self._first_group] = out.state
        self._versions[slot, t] = self.version

    def _state_before(self, group: int, slot: int, t: int, repeated: bool) -> Tensor:
        state, seen = self.state[group - self._first_group], self._seen_state[group - self._first_group]
        if repeated:
            state.copy_(seen)
        else:
            state *= self._last_valid[group].unsqueeze(-1)  # an episode begins: memory is empty
            seen.copy_(state)
        if t == 0:
            self._rnn_state[slot].copy_(state)
        return state

    def act_many(self, groups: Sequence[int], slots: Sequence[int], times: Sequence[int], repeated: Sequence[bool]) -> None:
        """Act for several groups in one forward pass: n groups of E rows are gathered into [n * E, ...]."""
        n = len(groups)
        index = (torch.tensor(slots), torch.tensor(times))
        with torch.inference_mode():
            obs = {key: array[index].flatten(0, 1).to(self.device) for key, array in self._obs.items()}
            state = None
            if self._recurrent:
                rows = [self._state_before(*row) for row in zip(groups, slots, times, repeated, strict=True)]
                state = torch.cat(rows).to(self.device)
            out = self.model.act(obs, state, self.generator)
            for target, value in zip(self._outputs, (out.actions, out.log_prob, out.value, out.params), strict=True):
                target[index] = value.to("cpu").reshape(n, -1, *value.shape[1:])
            if out.state is not None:
                rows_of_groups = [group - self._first_group for group in groups]
                self.state[rows_of_groups] = out.state.to("cpu").reshape(n, *self.state.shape[1:])
        self._versions[np.asarray(slots), np.asarray(times)] = self.version
