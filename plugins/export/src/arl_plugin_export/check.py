"""An exported file played beside the policy that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.envs.spaces import obs_specs, obs_writer
from arl_core.interfaces import UserError
from arl_core.models.standalone import StandalonePolicy
from arl_plugin_export.onnx_file import FlatPolicy

TOLERANCE = 1e-4  # of the largest parameter or value, or of 1: float32, and other orders of summation


def largest_difference(policy: StandalonePolicy, path: Path, rows: int = 32, steps: int = 4, seed: int = 0) -> float:
    """The largest difference of distribution parameters and values over random observations, and over `steps` steps of the
    memory, each relative to the largest magnitude of that output in the step, of at least 1. Raises UserError where it is too
    large, or onnxruntime is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError("--check needs onnxruntime: pip install 'arl-plugin-export[check]'") from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    flat = FlatPolicy(policy)
    policy.obs_space.seed(seed)
    state: list[NDArray[Any]] = [np.zeros((rows, policy.state_size), np.float32)] if policy.state_size else []
    theirs_state, worst = list(state), 0.0
    for _ in range(steps):
        obs = sampled(policy, rows)
        ours = dict(zip(flat.output_names, _ours(flat, [*obs, *state]), strict=True))
        feed = dict(zip(flat.input_names, [*obs, *theirs_state], strict=True))
        theirs = dict(zip(flat.output_names, session.run(flat.output_names, feed), strict=True))
        differences = (_difference(ours[key], theirs[key]) for key in ("params", "value"))
        worst = float(np.max([worst, *differences]))  # NaN too, unlike max()
        if state:
            state, theirs_state = [ours["state_out"]], [theirs["state_out"]]
    if not worst <= TOLERANCE:
        told = f"differs from the policy by up to {worst:.2e} of its outputs' magnitude, more than {TOLERANCE:.0e}"
        raise UserError(f"{path} {told}: do not use it")
    return worst


def _difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest one, relative to the largest of our numbers, of at least 1: an observation drawn from the whole space, as no
    environment gives it, is amplified, and float32 rounds relative to what it sums. NaN where there is one."""
    return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max())))


def sampled(policy: StandalonePolicy, rows: int) -> list[NDArray[Any]]:
    """Random observations of the policy's space, as inputs [rows, ...] in order."""
    space = policy.obs_space
    arrays = {key: np.zeros((rows, *spec.shape), spec.dtype) for key, spec in obs_specs(space).items()}
    write = obs_writer(space)
    for row in range(rows):
        if write is None:
            arrays["obs"][row] = space.sample()
        else:
            write(space.sample(), arrays, row)
    return list(arrays.values())


def _ours(flat: FlatPolicy, rows: list[NDArray[Any]]) -> list[NDArray[Any]]:
    with torch.inference_mode():
        return [value.numpy() for value in flat(*(torch.from_numpy(row) for row in rows))]
