"""What goes wrong in environments, and what they report: shared by the groups that step them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arl_core.interfaces import EnvContext, EnvGroup, EpisodeEnds

log = logging.getLogger("arl")


class EnvironmentFault(RuntimeError):
    """An environment raised or broke its contract. Says which one, where, and with which seed."""


def failed(context: EnvContext, where: str, error: BaseException) -> str:
    """The text of an `EnvironmentFault`."""
    return (
        f"environment {context.index} (worker {context.worker}, seed {context.seed}) failed in {where}: "
        f"{type(error).__name__}: {error}"
    )


def parts_of(result: Any) -> str:
    """The type of a result, or of each part of a tuple."""
    parts = ", ".join(type(part).__name__ for part in result) if isinstance(result, tuple) else ""
    return f"({parts})" if parts else type(result).__name__


def observed(result: Any) -> Any:
    """The observation in what `reset()` returned. Raises TypeError where that is not (observation, info)."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping | None):
        raise TypeError(f"reset() returned {parts_of(result)}, not (observation, info)")
    return result[0]


def close_all(envs: Sequence[Any], contexts: Sequence[EnvContext]) -> None:
    """Close every environment, whatever the others do. Raises EnvironmentFault for the first that failed."""
    faults = []
    for context, env in zip(contexts, envs, strict=False):  # strict: closed before
        try:
            if hasattr(env, "close"):  # one of several agents that is no subclass of PettingZoo's may have nothing to close
                env.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001, PERF203  # the others are closed too
            faults.append(EnvironmentFault(failed(context, "close", error)))
    if faults:
        raise faults[0]


def close_quietly(env: Any) -> None:
    """Close an environment that failed, or was only looked at: what close() raises then is of no interest."""
    with contextlib.suppress(Exception, SystemExit):
        env.close()


def close_after_use(group: EnvGroup) -> None:
    """Close a group whose work is done. What its environments raise then is told, and takes nothing from that work."""
    try:
        group.close()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # told below
        log.warning("closing environments: %s: %s", type(error).__name__, error)


def metrics_of_ends(
    rows: NDArray[np.int64], infos: Sequence[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]]
) -> EpisodeEnds | None:
    """Numbers in the `info` of the rows that ended; gymnasium's `episode` dict becomes `episode.r`, `episode.l`."""
    found: dict[str, NDArray[np.float64]] = {}
    for position, row in enumerate(rows):
        for key, value in _numbers(infos[row] or {}):
            if key not in found:
                found[key] = np.full(len(rows), np.nan)
            found[key][position] = value
    return EpisodeEnds(rows, found) if found else None


def _numbers(info: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    numbers: list[tuple[str, float]] = []
    for key, value in info.items():
        if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
            with contextlib.suppress(OverflowError):  # a whole number beyond all floats
                numbers.append((f"{prefix}{key}", float(value)))
        elif isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "biuf":
            numbers.append((f"{prefix}{key}", float(value.reshape(()))))
        elif isinstance(value, Mapping) and not prefix:
            numbers += _numbers(value, f"{key}.")
    return numbers
