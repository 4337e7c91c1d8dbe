"""The nurseries of a run: which modules its processes find imported already."""

from __future__ import annotations

from collections.abc import Callable

from arl_core.config import RunConfig
from arl_core.runtime.processes.output import Output
from arl_core.runtime.processes.zygote import Zygote

LIGHT_PRELOAD = ("gymnasium", "arl_core.runtime.processes.entry", "arl_core.sampling.rollout_worker")
TORCH_PRELOAD = (
    *LIGHT_PRELOAD,
    "arl_core.sampling.policy_worker",
    "arl_core.learning.process",
    "arl_core.models.encoders",
)


class Nurseries:
    """The processes that start processes. Made early, so that they import while the trainer still plans. `collect`: what they
    and theirs print is for `show`, where it would go to a terminal."""

    def __init__(self, *, collect: bool = False) -> None:
        self._made: dict[tuple[str, ...], Zygote] = {}
        self._output = Output() if collect else None

    def begin(self, cfg: RunConfig) -> None:
        """Start those that this configuration will need, as far as it says."""
        self.get(TORCH_PRELOAD)
        if cfg.inference == "central":
            self.get(LIGHT_PRELOAD)

    def get(self, preload: tuple[str, ...]) -> Zygote:
        """The nursery with these modules."""
        if preload not in self._made:
            self._made[preload] = Zygote(preload, self._output.writer if self._output else None)
        return self._made[preload]

    def show(self, show: Callable[[str], None]) -> None:
        """Have `show`, in another thread, show what was collected, and will be until `close`."""
        if self._output:
            self._output.begin(show)

    @property
    def all(self) -> list[Zygote]:
        """Every nursery."""
        return list(self._made.values())

    def close(self) -> None:
        """End them and whatever they started. Idempotent."""
        for zygote in self._made.values():
            zygote.close()
        self._made.clear()
        if self._output:
            self._output.close()
            self._output = None
