"""A replica of one policy that acts on rows of slots. The same object in rollout workers, policy workers and serial mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.weights import WeightsBoard
from arl_core.models.dense_numpy import DensePolicy, dense_policy
from arl_core.models.flat import flatten_module
from arl_core.models.policy import PolicyNetwork
from arl_core.models.spaces import ACTION_MASK
from arl_core.sampling.graphed import GraphedPass, Pass
from arl_core.sampling.noise import ActingNoise

_STATE, _NOISE = "state", "noise"  # of what is gathered for a pass, beside observations


class _Row(NamedTuple):
    """Views of one row of one slot, tensors or (of a `DensePolicy`) arrays: where its observations are and where the policy's
    output goes."""

    obs: dict[str, Any]
    mask: Any  # None: there is none
    outputs: Any  # [E, P+1]
    params: Any  # [E, P], a part of outputs
    actions: Any  # [E, A]


class WeightsSource(Protocol):
    """Where weights come from: a board, or a learner in the actor's own process."""

    @property
    def version(self) -> int:
        """Of the weights that `read_into` gives."""

    def read_into(self, target: NDArray[np.uint8]) -> int:
        """Copy the weights into `target` [size_bytes]; returns their version."""


class Replica:
    """A copy of the weights on one board, kept up to date. `player` is the board's number: a policy, or a snapshot of one."""

    def __init__(self, model: PolicyNetwork, arena: Arena, player: int, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device).eval()
        self.player = player
        self.version = -1
        self._flat = flatten_module(self.model)
        self._source: WeightsSource = WeightsBoard(arena, player)
        self._bytes = torch.empty(self._flat.nbytes, dtype=torch.uint8)
        self._dense: DensePolicy | None = dense_policy(self.model) if self.device.type == "cpu" else None

    def follow(self, source: WeightsSource) -> None:
        """Take the weights of `source` from now on, not those that are published."""
        self._source = source

    def refresh(self) -> None:
        """Take the latest weights, if they are newer than ours."""
        if self._source.version != self.version:
            self.version = self._source.read_into(self._bytes.numpy())
            self._flat.read_from(self._bytes)
            if self._dense is not None:
                self._dense.refresh()

    def choose_into(
        self,
        outputs: NDArray[np.float32],
        actions: NDArray[Any],
        obs: dict[str, NDArray[Any]],
        state: Tensor | None,
        noise: Tensor,
    ) -> Tensor | None:
        """Write outputs [N, P+1] and actions [N, A] for obs {key: [N, ...]}, state [N, H] and noise [N, ...]; returns the next
        state [N, H]."""
        mask = obs.get(ACTION_MASK)
        if self._dense is not None:
            self._dense.outputs_into(obs, outputs)
            self._dense.choose_into(actions, outputs[:, :-1], mask, noise.numpy())
            return None
        with torch.inference_mode():
            tensors = {key: torch.from_numpy(value).to(self.device) for key, value in obs.items()}
            out = torch.empty(outputs.shape, device=self.device)
            after = self.model.outputs_into(tensors, None if state is None else state.to(self.device), out)
            actions[:] = self.model.dist.choose(out[:, :-1], tensors.get(ACTION_MASK), noise).cpu().numpy()
            outputs[:] = out.cpu().numpy()
            return None if after is None else after.cpu()


class Actor(Replica):
    """Acts for `groups` (consecutive numbers), whose recurrent state it keeps.

    `generator` draws the actions; it lives on `device`. Slots stay in the arena's memory, whatever the device.
    """

    def __init__(
        self,
        model: PolicyNetwork,
        arena: Arena,
        shape: SlotShape,
        groups: range,
        generator: torch.Generator,
        policy: int = 0,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(model, arena, policy, device)
        self.generator = generator
        self._first_group = groups.start
        self._recurrent = shape.state_size > 0
        self.state = torch.zeros(len(groups), shape.group_size, shape.state_size)
        self._seen_state = self.state.clone()  # before the last action, for one that is asked for again
        self._last_valid = torch.from_numpy(arena["group.last_valid"])
        self._stacked = frozenset(shape.stackings)  # observations that lie in an array of their group's, not in rows of slots
        names = {key: f"group.obs.{key}" if key in self._stacked else f"obs.{key}" for key in shape.obs}
        self._obs_array: dict[str, NDArray[Any]] = {key: arena[name] for key, name in names.items()}
        self._outputs_array: NDArray[np.float32] = arena["outputs"]
        self._actions_array: NDArray[Any] = arena["actions"]
        self._obs = {key: torch.from_numpy(array) for key, array in self._obs_array.items()}
        self._num_rows = shape.rollout + 1  # of observations, a slot
        self._gathered: dict[str, Tensor] = {}  # [groups, E, ...], where many groups' rows are brought together
        self._outputs = torch.from_numpy(self._outputs_array)
        self._actions = torch.from_numpy(self._actions_array)
        self.noise = ActingNoise(self.model.dist, shape, len(groups), generator, self.device)
        if self._dense is not None:
            self.noise.give_arrays()
        self._versions = arena["versions"][policy]
        self._rnn_state = torch.from_numpy(arena["rnn_state"])
        self._rows: dict[tuple[int, int], _Row] = {}
        self._graphed: GraphedPass | None = None
        if self.device.type == "cuda":
            self._graphed = GraphedPass(self._forward, self.device, shape.group_size, len(groups) * shape.group_size)
        self._pass: Pass = self._graphed or self._forward

    @property
    def refusal(self) -> str:
        """Why passes on a GPU are not replayed as a graph; "" where they are, or where there is no GPU."""
        return "" if self._graphed is None else self._graphed.refusal

    def _row(self, group: int, slot: int, t: int) -> _Row:
        row = self._rows.get((slot, t))
        if row is None:
            sources: tuple[Mapping[str, Any], Any, Any] = self._obs, self._outputs, self._actions
            if self._dense is not None:
                sources = self._obs_array, self._outputs_array, self._actions_array
            obs = {key: array[group] if key in self._stacked else array[slot, t] for key, array in sources[0].items()}
            outputs = sources[1][slot, t]
            row = _Row(obs, obs.get(ACTION_MASK), outputs, outputs[:, :-1], sources[2][slot, t])
            self._rows[slot, t] = row
        return row

    def act_one(self, group: int, slot: int, t: int, *, repeated: bool = False) -> None:
        """Act for one group on views of its row: nothing is gathered, nothing copied but the actions.

        `repeated`: this observation was acted on already, and that action discarded.
        """
        if self.device.type != "cpu":
            self.act_many([group], [slot], [t], [repeated])
            return
        row, noise = self._row(group, slot, t), self._noise_of(group, t)
        if self._dense is not None:
            self._dense.outputs_into(row.obs, row.outputs)
            self._dense.choose_into(row.actions, row.params, row.mask, noise)
            self._versions[slot, t] = self.version
            return
        with torch.inference_mode():
            state = self._state_before(group, slot, t, repeated) if self._recurrent else None
            state = self.model.outputs_into(row.obs, state, row.outputs)
            self.model.dist.choose_into(row.actions, row.params, row.mask, noise)
            if state is not None:
                self.state[group - self._first_group] = state
        self._versions[slot, t] = self.version

    def _noise_of(self, group: int, t: int) -> Any:
        """Noise for one group's row t, [E, noise_size]: a tensor, or an array."""
        if t == 0:
            self.noise.begin_slot(group - self._first_group)
        return self.noise.row(group - self._first_group, t)

    def _state_before(self, group: int, slot: int, t: int, repeated: bool) -> Tensor:
        state, seen = self.state[group - self._first_group], self._seen_state[group - self._first_group]
        if repeated:
            state.copy_(seen)
        else:
            # an episode begins: memory is empty, also of a dead worker's NaN, which no product makes 0
            state.masked_fill_(self._last_valid[group].logical_not().unsqueeze(-1), 0.0)
            seen.copy_(state)
        if t == 0:
            self._rnn_state[slot].copy_(state)
        return state

    def act_many(self, groups: Sequence[int], slots: Sequence[int], times: Sequence[int], repeated: Sequence[bool]) -> None:
        """Act for several groups in one forward pass: n groups of E rows are gathered into [n * E, ...]."""
        if self._dense is not None:
            self._act_dense_many(self._dense, groups, slots, times)
            return
        n = len(groups)
        index = (torch.tensor(slots), torch.tensor(times))
        with torch.inference_mode():
            inputs = self._gather(torch.as_tensor(groups), torch.as_tensor(slots) * self._num_rows + torch.as_tensor(times))
            if self._recurrent:
                before = [self._state_before(*row) for row in zip(groups, slots, times, repeated, strict=True)]
                inputs[_STATE] = torch.cat(before)
            inputs[_NOISE] = torch.cat([self._noise_of(group, t) for group, t in zip(groups, times, strict=True)])
            outputs, actions, *state = self._pass(inputs)
            for target, value in ((self._outputs, outputs), (self._actions, actions)):
                target[index] = value.to("cpu").reshape(n, -1, value.shape[-1])
            if state:
                mine = [group - self._first_group for group in groups]
                self.state[mine] = state[0].to("cpu").reshape(n, *self.state.shape[1:])
        self._versions[np.asarray(slots), np.asarray(times)] = self.version

    def _forward(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Outputs [N, P+1], actions [N, A] and, of a recurrent network, the next state [N, H] of what `_gather` gathers."""
        obs, noise = {key: inputs[f"obs.{key}"] for key in self._obs}, inputs[_NOISE]
        outputs = torch.empty(len(noise), self._outputs.shape[-1], device=self.device)
        state = self.model.outputs_into(obs, inputs.get(_STATE), outputs)
        actions = self.model.dist.choose(outputs[:, :-1], obs.get(ACTION_MASK), noise)
        return (outputs, actions) if state is None else (outputs, actions, state)

    def _gather(self, groups: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Observations {"obs.KEY": [n * E, ...]} of n `groups`, at `rows` of all slots' rows, in pinned memory where they go to
        a GPU. What is on its way there must not be overwritten: whoever gathers waits for the answer before the next time."""
        obs = {}
        for key, array in self._obs.items():
            source, index = (array, groups) if key in self._stacked else (array.flatten(0, 1), rows)
            if key not in self._gathered:
                shape = len(self.state), *source.shape[1:]
                self._gathered[key] = torch.empty(shape, dtype=array.dtype, pin_memory=self.device.type == "cuda")
            found = torch.index_select(source, 0, index, out=self._gathered[key][: len(rows)])
            obs[f"obs.{key}"] = found.flatten(0, 1)
        return obs

    def _act_dense_many(self, policy: DensePolicy, groups: Sequence[int], slots: Sequence[int], times: Sequence[int]) -> None:
        index = (np.asarray(slots), np.asarray(times))
        found = {key: array[np.asarray(groups) if key in self._stacked else index] for key, array in self._obs_array.items()}
        obs = {key: rows.reshape(-1, *rows.shape[2:]) for key, rows in found.items()}
        noise = np.concatenate([self._noise_of(group, t) for group, t in zip(groups, times, strict=True)])
        outputs = np.empty((len(noise), self._outputs_array.shape[-1]), np.float32)
        actions = np.empty((len(noise), self._actions_array.shape[-1]), self._actions_array.dtype)
        policy.outputs_into(obs, outputs)
        policy.choose_into(actions, outputs[:, :-1], obs.get(ACTION_MASK), noise)
        for target, value in ((self._outputs_array, outputs), (self._actions_array, actions)):
            target[index] = value.reshape(len(groups), -1, value.shape[-1])
        self._versions[index] = self.version
