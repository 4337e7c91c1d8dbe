"""What actions are drawn with: for several slots of a group in one call of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arl_core.ipc.slots import SlotShape
from arl_core.models.action_dist import ActionDist

AHEAD = 1 << 14  # numbers that a group draws at once, unless one slot needs more
MOST_SLOTS = 16  # that it draws for at once: each of their steps has a view, of some hundred bytes


class ActingNoise:
    """Noise for the steps of `groups` groups, [E, noise_size] each. A group draws for its next `ahead` slots at once.

    Environments empty the caches between two slots, and a call of torch then costs ten times its arithmetic
    (benchmarks/LOG.md): so it is made for many slots.
    """

    def __init__(
        self, dist: ActionDist, shape: SlotShape, groups: int, generator: torch.Generator, device: torch.device
    ) -> None:
        self._dist, self._generator, self._steps = dist, generator, shape.rollout
        a_slot = shape.rollout * shape.group_size * dist.noise_size
        self.ahead = min(max(AHEAD // max(a_slot, 1), 1), MOST_SLOTS)
        size = (groups, self.ahead * shape.rollout, shape.group_size, dist.noise_size)
        self._drawn = dist.draw_noise(torch.empty(size, device=device), generator)
        self._first = np.zeros(groups, np.int64)  # of each group's present slot, among its drawn steps
        self._rows: list[Sequence[Any]] = [drawn.unbind() for drawn in self._drawn]

    def give_arrays(self) -> None:
        """`row` returns arrays from now on, not tensors."""
        self._rows = [tuple(drawn.numpy()) for drawn in self._drawn]

    def begin_slot(self, group: int) -> None:
        """The group's next step is the first one of a slot. It comes again where a slot is begun anew."""
        first = self._first.item(group) + self._steps
        if first == len(self._rows[group]):
            self._dist.draw_noise(self._drawn[group], self._generator)
            first = 0
        self._first[group] = first

    def row(self, group: int, t: int) -> Any:
        """For step t of the group's slot, [E, noise_size]; a view."""
        return self._rows[group][self._first.item(group) + t]

    def of_rows(self, groups: NDArray[Any], times: NDArray[Any], rows: NDArray[Any]) -> Tensor:
        """For n single rows, which the three [n] name together: [n, noise_size]."""
        return self._drawn[groups, self._first[groups] + times, rows]

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of what goes with the generator's state to continue bit for bit."""
        return {"drawn": self._drawn.clone(), "first": torch.from_numpy(self._first.copy())}

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a saved state is of as many steps, groups and rows."""
        return state["drawn"].shape == self._drawn.shape

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Return to a saved state, which fits."""
        self._drawn.copy_(state["drawn"])
        self._first[:] = state["first"].numpy()
