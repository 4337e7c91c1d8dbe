"""One environment group on its way through its slots. The same object in rollout workers and in serial mode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.envs.spaces import Squash
from arl_core.interfaces import EnvGroup, StepViews
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence
from arl_core.ipc.slots import SlotRing, SlotShape
from arl_core.ipc.usage import ENVIRONMENT, Meter
from arl_core.sampling.episodes import EpisodeReport, EpisodeTracker


class RewardOrObservationFault(RuntimeError):
    """An environment gave NaN or infinity. Says which environment, key and step; the slot is not trained on."""


class GroupRunner:
    """Drives `group`, number `index` of the run, under one policy: take a slot, fill its T rows, hand it over."""

    def __init__(
        self,
        group: EnvGroup,
        index: int,
        arena: Arena,
        shape: SlotShape,
        report: EpisodeReport | None = None,
        policy: int = 0,
        meter: Meter | None = None,
    ) -> None:
        self.group = group
        self._meter = meter
        self.index = index
        self.slot = -1  # -1: between slots
        self.t = 0
        self.report = report or EpisodeReport()
        self._shape = shape
        self._arena = arena
        self._policy = policy
        self._slots = shape.ring(policy, index)
        self._ring = SlotRing(arena, self._slots)
        self._epochs: NDArray[np.int64] = arena["slot.weights_epoch"]
        self._epoch: NDArray[np.int64] = arena["control.weights_epoch"]
        self._sequence: NDArray[np.int64] = arena["slot.sequence"]
        self._actions: NDArray[Any] = arena["actions"]
        self._squash = Squash(shape.squashed) if shape.squashed else None
        self._obs = {key: arena[f"obs.{key}"] for key in shape.obs}
        self._valid: NDArray[np.bool_] = arena["valid"]
        self._last_valid: NDArray[np.bool_] = arena["group.last_valid"][index]
        self._request: NDArray[np.int64] = arena["group.request"][index]
        self._answer: NDArray[np.int64] = arena["group.answer"][index]
        self._position: NDArray[np.int64] = arena["group.position"][index]
        self._frames: NDArray[np.int64] = arena["group.frames"][index]
        self._granted: NDArray[np.int64] | None = arena["group.granted"][index] if shape.slots_per_iteration else None
        self._views = {slot: [self._step_views(slot, t) for t in range(shape.rollout)] for slot in self._slots}
        self._tracker = EpisodeTracker(shape.group_size)
        self._present: dict[str, NDArray[Any]] = {}  # the present observation when between slots, key -> [E, ...]
        self.waiting = False  # for an answer of the policy worker
        self._repeat = False  # that answer was discarded: the observation has been seen by the recurrent state already

    def _step_views(self, slot: int, t: int) -> StepViews:
        a = self._arena
        return StepViews(
            obs={key: array[slot, t + 1] for key, array in self._obs.items()},
            rewards=a["rewards"][slot, t],
            terminated=a["terminated"][slot, t],
            truncated=a["truncated"][slot, t],
            valid=a["valid"][slot, t],
        )

    def reset(self) -> None:
        """Start the environments."""
        self._present = {key: np.zeros(array.shape[2:], array.dtype) for key, array in self._obs.items()}
        self.group.reset_into(self._present)
        self._last_valid[:] = False  # nothing to remember: recurrent state begins at zero

    def ready(self) -> bool:
        """Have a slot to act in. False when the learner has given none back yet, or (synchronous mode) has not trained yet."""
        if self.slot >= 0:
            return True
        if self._granted is not None and self._frames[4] >= self._granted[0]:
            return False
        slot = self._ring.acquire()
        if slot < 0:
            return False
        for key, array in self._obs.items():
            array[slot, 0] = self._present[key]
        self._epochs[slot] = self._epoch[self._policy]
        self.slot, self.t = slot, 0
        return True

    def request_action(self) -> None:
        """Central inference: ask for the actions of row t."""
        self._request[0], self._request[1], self._request[3] = self.slot, self.t, self._repeat
        fence()
        self._request[2] += 1  # the word that the policy worker looks at; it comes last
        self.waiting, self._repeat = True, False

    def answered(self) -> bool:
        """Central inference: the actions of row t are there."""
        if self._answer[0] != self._request[2]:
            return False
        fence()
        return True

    def step(self) -> None:
        """Step the environments with the actions of row t; hand the slot over when it is full."""
        self.waiting = False
        slot, t = self.slot, self.t
        actions = self._actions[slot, t]
        self.group.send(actions if self._squash is None else self._squash(actions))
        ends = self.group.recv_into(self._views[slot][t])
        if self._meter is not None:
            self._meter.rows += self._shape.group_size
            if self._meter.on:
                self._meter.lap(ENVIRONMENT)
        if ends is not None:
            self.report.add_metrics(ends)
        self._last_valid[:] = self._valid[slot, t]
        self.t = t + 1
        if self.t == self._shape.rollout:
            self._finish(slot)

    def _finish(self, slot: int) -> None:
        total = int(self._frames[0]) + self._account(slot, self._shape.rollout)
        self._sequence[slot] = time.monotonic_ns()
        # a view: nobody writes there before the next slot of this ring is ours, and then it is copied at once
        self._present = {key: array[slot, -1] for key, array in self._obs.items()}
        self.slot = -1
        # counted if and only if it is handed over, wherever we are killed: see `settle_hand_over`
        handed_over = int(self._frames[4]) + 1
        self._frames[3], self._frames[5], self._frames[2] = total, handed_over, slot + 1
        self._ring.hand_over(slot)
        self._frames[0], self._frames[4] = total, handed_over
        fence()
        self._frames[2] = 0

    def _account(self, slot: int, rows: int) -> int:
        """Check the first `rows` rows of a slot, follow their episodes; returns the number of valid frames."""
        a = self._arena
        rewards, valid = a["rewards"][slot, :rows], self._valid[slot, :rows]
        self._check_finite(slot, rows)
        done = a["terminated"][slot, :rows] | a["truncated"][slot, :rows]
        self.report.add(*self._tracker.advance(rewards, done, valid))
        return int(np.count_nonzero(valid))

    def _check_finite(self, slot: int, rows: int) -> None:
        named: dict[str, NDArray[Any]] = {"a reward": self._arena["rewards"][slot, :rows]}
        named |= {f"an observation '{key}'": array[slot, : rows + 1] for key, array in self._obs.items()}
        for name, values in named.items():
            if values.dtype.kind != "f":
                continue
            with np.errstate(over="ignore", invalid="ignore"):  # a sum may overflow where no value is infinite
                if np.isfinite(np.sum(values)) or np.isfinite(values).all():
                    continue
            t, row = (int(x) for x in np.argwhere(~np.isfinite(values))[0][:2])
            raise RewardOrObservationFault(
                f"environment {self.index * self._shape.group_size + row} gave {name} that is not finite "
                f"({values[t, row]}) at step {t} of its rollout; training on it would poison the weights"
            )

    def restart_slot(self) -> None:
        """New weights were set from outside: what was sampled with the old ones is discarded, the environments stay."""
        if self.slot >= 0:
            if self.t:
                frames = self._account(self.slot, self.t)
                self._frames[0] += frames
                self._frames[1] += frames
                for array in self._obs.values():
                    array[self.slot, 0] = array[self.slot, self.t]
            self._epochs[self.slot] = self._epoch[self._policy]
            self.t = 0
        self._repeat = self.waiting and self.answered()
        self.waiting = False

    def stale(self) -> bool:
        """True when weights were set from outside since the present slot was begun."""
        return self.slot >= 0 and bool(self._epochs[self.slot] != self._epoch[self._policy])

    def publish_position(self) -> None:
        """Show the trainer where we are; it reads this during a pause."""
        self._position[0], self._position[1] = self.slot, self.t

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """What goes with the arena's arrays to continue bit for bit; None where the environments cannot be saved."""
        group = self.group.get_state()
        if group is None:
            return None
        state: dict[str, NDArray[Any]] = {f"group.{key}": value for key, value in group.items()}
        state["cursor"] = np.array([self.slot, self.t, self._ring.next_index], np.int64)
        state |= {f"present.{key}": value.copy() for key, value in self._present.items()}
        state["returns"], state["lengths"] = self._tracker.returns.copy(), self._tracker.lengths.copy()
        return state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state; the arena's arrays are put back by the caller."""
        prefix = "group."
        self.group.set_state({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        self.slot, self.t, self._ring.next_index = (int(x) for x in state["cursor"])
        self._present = {key: state[f"present.{key}"] for key in self._obs}
        self._tracker.returns[:], self._tracker.lengths[:] = state["returns"], state["lengths"]
