"""Acting where several policies, or frozen snapshots of them, play in one group: each chooses for the rows that it owns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.models.policy import PolicyNetwork
from arl_core.sampling.actor import Actor, Replica


class CastActor(Actor):
    """An `Actor` of several players. Noise and recurrent state belong to rows, whoever plays them: a row changes its player
    between episodes alone, when its memory is empty. Other players' rows are left to the process that acts there."""

    def __init__(
        self,
        models: Sequence[PolicyNetwork],
        players: Sequence[int],
        arena: Arena,
        shape: SlotShape,
        groups: range,
        generator: torch.Generator,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(models[0], arena, shape, groups, generator, players[0], device)
        further = [Replica(model, arena, player, device) for model, player in zip(models[1:], players[1:], strict=True)]
        self._replicas: list[Replica] = [self, *further]
        self._all_versions: NDArray[np.int64] = arena["versions"]
        self._owner: NDArray[np.int8] = arena["owner"]
        self._rnn_array: NDArray[np.float32] = arena["rnn_state"]
        self._num_policies = shape.num_policies

    def refresh(self) -> None:
        """Take the latest weights of every player of ours."""
        super().refresh()
        for replica in self._replicas[1:]:
            replica.refresh()

    def act_one(self, group: int, slot: int, t: int, *, repeated: bool = False) -> None:
        """See `Actor`."""
        self.act_many([group], [slot], [t], [repeated])

    def act_many(self, groups: Sequence[int], slots: Sequence[int], times: Sequence[int], repeated: Sequence[bool]) -> None:
        """One forward pass for each player that owns rows in these groups; rows are gathered and scattered."""
        at = np.asarray(groups) - self._first_group
        slot, time = np.asarray(slots), np.asarray(times)
        for group, t in zip(groups, times, strict=True):
            if t == 0:
                self.noise.begin_slot(group - self._first_group)
        owner = self._owner[slot, time]
        for number, again in zip(at, repeated, strict=True):
            self._empty_memory(int(number), again)
        for replica in self._replicas:
            which, rows = np.nonzero(owner == replica.player)
            if len(which):
                self._act_rows(replica, at[which], slot[which], time[which], rows)
            if replica.player < self._num_policies:
                self._all_versions[replica.player, slot, time] = replica.version

    def _empty_memory(self, at: int, repeated: bool) -> None:
        """The group's state before its row t."""
        if not self._recurrent:
            return
        if repeated:
            self.state[at].copy_(self._seen_state[at])
        else:
            self.state[at].masked_fill_(self._last_valid[at + self._first_group].logical_not().unsqueeze(-1), 0.0)
            self._seen_state[at].copy_(self.state[at])

    def _act_rows(self, replica: Replica, at: NDArray[Any], slot: NDArray[Any], time: NDArray[Any], rows: NDArray[Any]) -> None:
        """Act for n single rows, which `at` (group), `slot`, `time` and `rows` [n] name together."""
        index = (slot, time, rows)
        present = (at + self._first_group, rows)
        obs = {key: array[present if key in self._stacked else index] for key, array in self._obs_array.items()}
        state = None
        if self._recurrent:
            state = self.state[at, rows]
            first = time == 0
            self._rnn_array[slot[first], rows[first]] = state.numpy()[first]
        outputs = np.empty((len(rows), self._outputs_array.shape[-1]), np.float32)
        actions = np.empty((len(rows), self._actions_array.shape[-1]), self._actions_array.dtype)
        after = replica.choose_into(outputs, actions, obs, state, self.noise.of_rows(at, time, rows))
        self._outputs_array[index], self._actions_array[index] = outputs, actions
        if after is not None:
            self.state[at, rows] = after
