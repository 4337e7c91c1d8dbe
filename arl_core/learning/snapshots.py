"""Self-play: frozen snapshots of a policy, which play against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.weights import WeightsBoard
from arl_core.models.flat import FlatState


class SnapshotPool:
    """The snapshots of one policy, each on a board of its own. Until the first is taken they hold the weights that the run
    began with. A new one replaces the oldest, also for an episode that it is playing."""

    def __init__(self, arena: Arena, shape: SlotShape, policy: int, every_frames: int, weights_bytes: int) -> None:
        self._boards = [WeightsBoard(arena, player) for player in shape.snapshots_of(policy)]
        self._weights_bytes = weights_bytes
        self._every_frames = every_frames
        self._due = every_frames  # trained frames of the policy
        self._oldest = 0

    def consider(self, frames: int, flat: FlatState) -> None:
        """After an optimiser step at `frames`: take a snapshot if it is time."""
        if frames < self._due:
            return
        self._due = frames + self._every_frames
        board = self._boards[self._oldest]
        flat.write_to(torch.from_numpy(board.buffer_to_write()))
        board.publish(board.version + 1)
        self._oldest = (self._oldest + 1) % len(self._boards)

    def weights(self) -> list[Tensor]:
        """Every snapshot as a byte vector, by value."""
        found = []
        for board in self._boards:
            found.append(torch.empty(self._weights_bytes, dtype=torch.uint8))
            board.read_into(found[-1].numpy())
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"weights": self.weights(), "due": self._due, "oldest": self._oldest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Return to a saved pool; of a larger or smaller one, to the snapshots that both have."""
        for board, weights in zip(self._boards, state["weights"], strict=False):
            board.buffer_to_write()[:] = weights.numpy()
            board.publish(board.version + 1)
        self._due, self._oldest = int(state["due"]), int(state["oldest"]) % len(self._boards)


def check_snapshots(state: Mapping[str, Any], weights_bytes: int) -> None:
    """Raise ValueError, or whatever values of wrong types raise, where no pool could return to `state`."""
    for weights in state["weights"]:
        if weights.dtype is not torch.uint8 or weights.shape != (weights_bytes,):
            found = f"{list(weights.shape)} {weights.dtype}"
            raise ValueError(f"a snapshot is {found}, not the {weights_bytes} bytes of this network's weights")
    int(state["due"]), int(state["oldest"])
