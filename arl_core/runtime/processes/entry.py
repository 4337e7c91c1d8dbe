"""Where a started process begins: it connects to its run and runs its component."""

from __future__ import annotations

import faulthandler
import gc
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from arl_core.interfaces import ArraySpec, load_object
from arl_core.ipc.component import ComponentSpec, SharedHandles, run_component


def component_main(
    *,
    fds: Mapping[str, Sequence[int]],
    component: ComponentSpec,
    table: Mapping[str, ArraySpec],
    fds_per_bell: int,
    body: str,
    spec: Any,
) -> int:
    """Run `body(link, spec).run()`; `body` is "module:attribute"."""
    gc.freeze()  # what was imported is not garbage: no collection has to look at it, and its pages stay shared
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # an environment that crashes the interpreter shows where,
        faulthandler.register(signal.SIGUSR1, sys.__stderr__)  # and one that hangs when the trainer asks
    flat = fds["bells"]
    bells = [tuple(flat[i : i + fds_per_bell]) for i in range(0, len(flat), fds_per_bell)]
    handles = SharedHandles(fds["arena"][0], bells, table)
    return run_component(component, handles, lambda link: load_object(body)(link, spec).run())
