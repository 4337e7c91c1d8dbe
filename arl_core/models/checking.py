"""Whether weights that a user or a file brings are those of a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

NAMED = 3  # of names that are too many or too few


def check_weights(own: Mapping[str, Tensor], state: Any, whose: str = "") -> None:
    """Raise ValueError, one line that begins with `whose`, where `state` cannot be loaded into a network whose state_dict is
    `own`: other names or shapes, no tensors, values that its types cannot hold or that are not finite."""
    if isinstance(state, nn.Module):
        raise ValueError(f"{whose}expected a state_dict, got a module: give its .state_dict()")
    if not isinstance(state, Mapping):
        raise ValueError(f"{whose}expected a state_dict, got {type(state).__name__}")
    missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
    if missing or unknown:
        told = f"missing {_listed(missing)}, unknown {_listed(unknown)}"
        raise ValueError(f"{whose}the weights do not fit this network: {told}")
    for key, value in state.items():
        complaint = _complaint(own[key], value)
        if complaint:
            raise ValueError(f"{whose}weight '{key}' {complaint}")


def _complaint(own: Tensor, value: Any) -> str:
    """What speaks against one weight; nothing: an empty text."""
    if not isinstance(value, Tensor):
        return f"is {type(value).__name__}, not a tensor"
    if value.is_meta or value.is_quantized or value.layout is not torch.strided:
        return "is no dense tensor with values (but sparse, quantised, or on the device 'meta')"
    if tuple(value.shape) != tuple(own.shape):
        return f"has shape {tuple(value.shape)}, this network's has {tuple(own.shape)}"
    if not torch.can_cast(value.dtype, own.dtype):
        return f"has type {value.dtype}, this network's has {own.dtype}"
    if own.is_floating_point() and not bool(torch.isfinite(value.detach().to(own.dtype)).all()):
        return f"is not finite as {own.dtype}"
    return ""


def _listed(names: Collection[Any]) -> str:
    """The first few of `names`."""
    ordered = sorted(map(repr, names))
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return ", ".join(ordered[:NAMED]) + more or "none"
