"""One environment group on its way through its slots. The same object in rollout workers and in serial mode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.envs.decorrelate import Decorrelation
from arl_core.envs.spaces import Squash
from arl_core.interfaces import EnvContext, EnvGroup, StepViews, UserError
from arl_core.ipc.arena import Arena
from arl_core.ipc.fence import fence
from arl_core.ipc.slots import SlotRing, SlotShape
from arl_core.ipc.usage import ENVIRONMENT, Meter
from arl_core.sampling.casting import Casting
from arl_core.sampling.episodes import EpisodeReport, EpisodeTracker
from arl_core.sampling.observed import ObservedRows


class RewardOrObservationFault(RuntimeError):
    """An environment gave NaN or infinity. Says which environment, key and step; the slot is not trained on."""


class GroupRunner:
    """Drives `group`, number `index` of the run: take a slot, fill its T rows, hand it over. `casting` says who plays which
    row, where the run has several policies or self-play."""

    def __init__(
        self,
        group: EnvGroup,
        index: int,
        arena: Arena,
        shape: SlotShape,
        report: EpisodeReport | None = None,
        casting: Casting | None = None,
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
        self._casting = casting
        self._slots = shape.ring(index)
        self._ring = SlotRing(arena, self._slots)
        self._epochs: NDArray[np.int64] = arena["slot.weights_epoch"]
        self._epoch: NDArray[np.int64] = arena["control.weights_epoch"]
        self._sequence: NDArray[np.int64] = arena["slot.sequence"]
        self._actions: NDArray[Any] = arena["actions"]
        self._squash = Squash(shape.squashed) if shape.squashed else None
        self._observed = ObservedRows(arena, shape, index)
        self._has_stacks = bool(shape.stackings)
        self._beginning_unseen = self._has_stacks  # of an episode after another one: its stack has not been looked at
        self._valid: NDArray[np.bool_] = arena["valid"]
        self._last_valid: NDArray[np.bool_] = arena["group.last_valid"][index]
        self._request: NDArray[np.int64] = arena["group.request"][index]
        self._answers: NDArray[np.int64] = arena["group.answer"][:, index, 0]
        self._position: NDArray[np.int64] = arena["group.position"][index]
        self._frames: NDArray[np.int64] = arena["group.frames"][:, index]
        self._handed: NDArray[np.int64] = arena["group.slots"][index]
        self._granted: NDArray[np.int64] | None = arena["group.granted"][index] if shape.slots_per_iteration else None
        self._owner: NDArray[np.int8] | None = arena["owner"] if casting is not None else None
        self._views = {slot: [self._step_views(slot, t) for t in range(shape.rollout)] for slot in self._slots}
        self._tracker = EpisodeTracker(shape.group_size)
        self.waiting = False  # for an answer of the policy worker
        self._repeat = False  # that answer was discarded: the observation has been seen by the recurrent state already

    def _step_views(self, slot: int, t: int) -> StepViews:
        a = self._arena
        return StepViews(
            obs=self._observed.views(slot, t + 1),
            rewards=a["rewards"][slot, t],
            terminated=a["terminated"][slot, t],
            truncated=a["truncated"][slot, t],
            valid=a["valid"][slot, t],
        )

    def reset(self) -> None:
        """Start the environments."""
        self._observed.make_present()
        self.group.reset_into(self._observed.present)
        self._last_valid[:] = False  # nothing to remember: recurrent state begins at zero

    @property
    def present(self) -> Mapping[str, NDArray[Any]]:
        """The present observation when between slots, key -> [E, ...]; views."""
        return self._observed.present

    def decorrelate(
        self, decorrelation: Decorrelation, contexts: Sequence[EnvContext], beat: Callable[[], None] = lambda: None
    ) -> None:
        """Play random steps, after `reset`. Episodes that are on their way afterwards are not reported when they end."""
        on_their_way = decorrelation.play(self.group, self._observed.present, contexts, beat)
        self._tracker.returns[on_their_way] = np.nan

    def ready(self) -> bool:
        """Have a slot to act in. False when the learner has given none back yet, or (synchronous mode) has not trained yet."""
        if self.slot >= 0:
            return True
        if self._granted is not None and self._handed[1] >= self._granted[0]:
            return False
        slot = self._ring.acquire()
        if slot < 0:
            return False
        self._observed.begin(slot)
        self._epochs[:, slot] = self._epoch
        self.slot, self.t = slot, 0
        if self._casting is not None:
            self._cast(self._casting)
        return True

    def _cast(self, casting: Casting) -> None:
        """Say who plays row t."""
        assert self._owner is not None
        self._owner[self.slot, self.t] = casting.players

    def request_action(self) -> None:
        """Central inference: ask for the actions of row t."""
        self._request[0], self._request[1], self._request[3] = self.slot, self.t, self._repeat
        fence()
        self._request[2] += 1  # the word that the policy worker looks at; it comes last
        self.waiting, self._repeat = True, False

    def answered(self) -> bool:
        """Central inference: the actions of row t are there."""
        if self._casting is None:
            if self._answers[0] != self._request[2]:
                return False
        elif (self._answers != self._request[2]).any():
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
        if self._has_stacks:
            self._observed.keep_newest(slot, t + 1)
            if self._beginning_unseen and not self._valid[slot, t].all():
                self._beginning_unseen = False
                self._check_finite(slot, t + 1)  # what is no number equals nothing
                self._check_stacks(slot, t + 1)
        self._last_valid[:] = self._valid[slot, t]
        self.t = t + 1
        if self._casting is not None:
            self._casting.advance(self._valid[slot, t])
        if self.t == self._shape.rollout:
            self._finish(slot)
        elif self._casting is not None:
            self._cast(self._casting)

    def _finish(self, slot: int) -> None:
        frames = self._account(slot, self._shape.rollout)
        if self._has_stacks:
            self._check_stacks(slot, self._shape.rollout)
        total = self._frames[:, 0] + frames
        self._sequence[slot] = time.monotonic_ns()
        self._observed.end(slot)
        self.slot = -1
        # counted if and only if it is handed over, wherever we are killed: see `settle_hand_over`
        handed_over = int(self._handed[1]) + 1
        self._frames[:, 2], self._handed[2] = total, handed_over
        fence()
        self._handed[0] = slot + 1
        self._ring.hand_over(slot, None if self._casting is None else frames > 0)
        self._frames[:, 0], self._handed[1] = total, handed_over
        fence()
        self._handed[0] = 0

    def _account(self, slot: int, rows: int) -> NDArray[np.int64]:
        """Check the first `rows` rows of a slot, follow their episodes; returns the number of valid frames of each policy."""
        a = self._arena
        rewards, valid = a["rewards"][slot, :rows], self._valid[slot, :rows]
        self._check_finite(slot, rows)
        done = a["terminated"][slot, :rows] | a["truncated"][slot, :rows]
        owner = None if self._owner is None else self._owner[slot, :rows]
        self.report.add(*self._tracker.advance(rewards, done, valid, owner))
        if owner is None:
            return np.array([np.count_nonzero(valid)])
        return np.bincount(owner[valid], minlength=self._shape.num_policies)[: self._shape.num_policies]

    def _check_finite(self, slot: int, rows: int) -> None:
        named = [("a reward", self._arena["rewards"][slot, :rows], 0)]
        named += [(f"an observation '{key}'", values, before) for key, values, before in self._observed.floats(slot, rows)]
        with np.errstate(over="ignore", invalid="ignore"):  # a product may overflow where no value is infinite
            suspects = [each for each in named if not _is_surely_finite(each[1])]
        for name, values, before in suspects:
            if np.isfinite(values).all():
                continue
            first = tuple(np.argwhere(~np.isfinite(values))[0])
            t, row = (int(x) for x in first[:2])
            raise RewardOrObservationFault(
                f"{self._who(row)} gave {name} that is not finite ({values[first]}) at step {max(t - before, 0)} of its "
                "rollout; training on it would poison the weights"
            )

    def _who(self, row: int) -> str:
        environment, agent = divmod(row, self._shape.num_agents)
        who = f"environment {self.index * self._shape.envs_per_group + environment}"
        return f"{who}, agent {agent}," if self._shape.num_agents > 1 else who

    def _check_stacks(self, slot: int, rows: int) -> None:
        wrong = self._observed.unlike_their_frames(slot, rows)
        if wrong is not None:
            key, row = wrong
            raise UserError(
                f"{self._who(row)} says in frame_stacks (or by Gymnasium's FrameStackObservation) that its observation '{key}' "
                f"is {self._shape.stackings[key]}, and it is not: other frames, another order, or something else before the "
                "first frame of an episode. Correct frame_stacks, or leave it out. Inside FrameStackObservation an environment "
                "has to return a new array at every step (a gymnasium.Wrapper around it: stacks are stored as they are)"
            )

    def restart_slot(self) -> None:
        """New weights were set from outside: what was sampled with the old ones is discarded, the environments stay."""
        if self.slot >= 0:
            if self.t:
                self._frames[:, 1] += self._account(self.slot, self.t)
                self._observed.begin_anew(self.slot, self.t)
            self._epochs[:, self.slot] = self._epoch
            self.t = 0
            if self._casting is not None:
                self._cast(self._casting)
        self._repeat = self.waiting and self.answered()
        self.waiting = False

    def stale(self) -> bool:
        """True when weights were set from outside since the present slot was begun."""
        return self.slot >= 0 and bool((self._epochs[:, self.slot] != self._epoch).any())

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
        state |= {f"present.{key}": value for key, value in self._observed.get_state().items()}
        state["returns"], state["lengths"] = self._tracker.returns.copy(), self._tracker.lengths.copy()
        if self._casting is not None:
            state |= {f"casting.{key}": value for key, value in self._casting.get_state().items()}
        return state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state; the arena's arrays are put back by the caller."""
        self.group.set_state(_under("group.", state))
        if self._casting is not None:
            self._casting.set_state(_under("casting.", state))
        self.slot, self.t, self._ring.next_index = (int(x) for x in state["cursor"])
        self._observed.set_state(_under("present.", state))
        self._tracker.returns[:], self._tracker.lengths[:] = state["returns"], state["lengths"]


def _is_surely_finite(values: NDArray[Any]) -> bool:
    """By one product, in which a value that is not finite stays so. False says nothing."""
    flat = values.reshape(-1)
    return math.isfinite(np.dot(flat, flat))


def _under(prefix: str, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
