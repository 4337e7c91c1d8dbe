"""How the processes of a run fail."""

from __future__ import annotations


class ComponentFailure(RuntimeError):
    """A process of the run failed, or cannot be started. `detail` is its traceback, where it could still send one."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
