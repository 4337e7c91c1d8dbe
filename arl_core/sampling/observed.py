"""Where the observations of one group lie: in the rows of its slots, of frame stacks only the newest frame of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.ipc.arena import Arena
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.stacks import frame_of, restack


class ObservedRows:
    """The observations of group `index`. Plain ones are written straight into their row of a slot, and acted on there. Stacks
    are written into an array of the group's, and acted on there; a slot takes their newest frame."""

    def __init__(self, arena: Arena, shape: SlotShape, index: int) -> None:
        self._stackings = shape.stackings
        self._rows = {key: arena[f"obs.{key}"] for key in shape.obs}
        self._plain = {key: array for key, array in self._rows.items() if key not in shape.stackings}
        self._stacks: dict[str, NDArray[Any]] = {key: arena[f"group.obs.{key}"][index] for key in shape.stackings}
        self._newest = [
            (self._rows[key], frame_of(stacks, stacking, stacking.frames - 1, 1), stacking.frames)
            for (key, stacks), stacking in zip(self._stacks.items(), shape.stackings.values(), strict=True)
        ]
        self._valid: NDArray[np.bool_] = arena["valid"]
        self.present: dict[str, NDArray[Any]] = {}  # between slots: the present observation, key -> [E, ...]

    def make_present(self) -> None:
        """Memory for the first observations of all."""
        plain = {key: np.zeros(array.shape[2:], array.dtype) for key, array in self._plain.items()}
        self.present = {key: plain[key] if key in plain else self._stacks[key] for key in self._rows}

    def views(self, slot: int, t: int) -> dict[str, NDArray[Any]]:
        """Where the observations of row t are written, key -> [E, ...]."""
        return {key: self._stacks[key] if key in self._stacks else array[slot, t] for key, array in self._rows.items()}

    def begin(self, slot: int) -> None:
        """Row 0 of `slot` is the present observation."""
        for key, array in self._plain.items():
            array[slot, 0] = self.present[key]
        self._spread(slot)

    def _spread(self, slot: int) -> None:
        """Row 0 of `slot` is the present stack, all frames of it."""
        for key, stacks in self._stacks.items():
            for number in range(self._stackings[key].frames):
                self._rows[key][slot, number] = frame_of(stacks, self._stackings[key], number, 1)

    def keep_newest(self, slot: int, t: int) -> None:
        """Stacks of row t have been written."""
        for rows, newest, frames in self._newest:
            rows[slot, t + frames - 1] = newest

    def end(self, slot: int) -> None:
        """The last row of `slot` is the present observation: a view. Nobody writes there before the next slot of this ring
        is ours, and then it is copied at once."""
        self.present = self.views(slot, -1)

    def begin_anew(self, slot: int, t: int) -> None:
        """Row 0 of `slot` is its row t, which is the present observation."""
        for array in self._plain.values():
            array[slot, 0] = array[slot, t]
        self._spread(slot)

    def floats(self, slot: int, rows: int) -> Iterator[tuple[str, NDArray[Any], int]]:
        """What may not be finite of rows 0 to `rows`: key, values [n, E, ...], and how many of n are frames before row 0."""
        for key, array in self._rows.items():
            before = self._stackings[key].frames - 1 if key in self._stackings else 0
            if array.dtype.kind == "f":
                yield key, array[slot, : before + rows + 1], before

    def unlike_their_frames(self, slot: int, rows: int) -> tuple[str, int] | None:
        """After `rows` steps in `slot`: key and row of E of a present stack that its frames do not give; None where all do.
        What an environment says of its stacks is looked at here, once a slot and where an episode first follows another."""
        for key, stacks in self._stacks.items():
            k = self._stackings[key].frames
            first = max(rows + 1 - k, 0)  # of the last k rows
            began = np.zeros((rows + 1 - first, stacks.shape[0]), np.bool_)
            began[1:] = ~self._valid[slot, first:rows]
            frames = self._rows[key][slot, first : rows + k]
            given = np.empty_like(stacks)
            restack(frames, began, self._stackings[key], given[None])
            if not np.array_equal(given, stacks):
                wrong = (given != stacks).reshape(len(stacks), -1).any(1)
                return key, int(np.argmax(wrong))
        return None

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Copies of what is present; the arena's arrays are saved by the caller."""
        return {key: value.copy() for key, value in self.present.items() if key in self._plain}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state; the arena's arrays are put back by the caller."""
        self.present = {key: state[key] if key in self._plain else self._stacks[key] for key in self._rows}
