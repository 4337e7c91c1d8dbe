"""The hook: what arl learns about the loss without importing torch."""

from __future__ import annotations

from collections.abc import Iterable

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import LossSpec


@hookimpl
def arl_losses() -> Iterable[LossSpec]:
    """`rnd/rnd`: an intrinsic reward, and the loss of the network that it comes from."""
    return [
        LossSpec(
            name="rnd/rnd",
            maker="arl_plugin_rnd.loss:RandomNetworkDistillation",
            summary="reward for what was seen rarely: the error of predicting a fixed random network (Burda et al. 2018)",
            options="arl_plugin_rnd.options:RndOptions",
        )
    ]
