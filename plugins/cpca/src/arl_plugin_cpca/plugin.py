"""The hook: what arl learns about the loss without importing torch."""

from __future__ import annotations

from collections.abc import Iterable

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import LossSpec


@hookimpl
def arl_losses() -> Iterable[LossSpec]:
    """`cpca/cpca`: a loss for encoder and recurrent core."""
    return [
        LossSpec(
            name="cpca/cpca",
            maker="arl_plugin_cpca.loss:ContrastivePrediction",
            summary="the memory learns to tell what the coming actions will lead to (CPC|A, Guo et al. 2018)",
            options="arl_plugin_cpca.options:CpcaOptions",
        )
    ]
