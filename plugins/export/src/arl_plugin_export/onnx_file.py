"""From a `StandalonePolicy` to a file that any ONNX runtime plays."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from arl_core.envs.spaces import obs_specs
from arl_core.interfaces import UserError
from arl_core.models.standalone import StandalonePolicy
from arl_core.spaces import action_parts

SAMPLE_ROWS = 2  # of the traced example: with one row, exporters take the batch axis for a constant


class FlatPolicy(nn.Module):
    """A policy with one tensor for each input and output, in the order of `input_names` and `output_names`."""

    def __init__(self, policy: StandalonePolicy) -> None:
        super().__init__()
        self.policy = policy
        self._specs = obs_specs(policy.obs_space)
        parts = [name for name, _ in action_parts(policy.action_space)]
        self.input_names = ["obs" if key == "obs" else f"obs.{key}" for key in self._specs]
        self.output_names = [*("action" if part == "action" else f"action.{part}" for part in parts), "params", "value"]
        if policy.state_size:
            self.input_names.append("state_in")
            self.output_names.append("state_out")

    def forward(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Inputs [N, ...] -> outputs [N, ...]."""
        obs = dict(zip(self._specs, rows, strict=False))
        out = self.policy(obs, rows[-1] if self.policy.state_size else None)
        leaves = [*_leaves(out.action), out.params, out.value]
        return tuple(leaves if out.state is None else [*leaves, out.state])

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of zeros."""
        rows = [torch.zeros(SAMPLE_ROWS, *spec.shape, dtype=getattr(torch, spec.dtype)) for spec in self._specs.values()]
        if self.policy.state_size:
            rows.append(torch.zeros(SAMPLE_ROWS, self.policy.state_size))
        return tuple(rows)


def _leaves(action: Any) -> Iterator[Tensor]:
    if isinstance(action, Tensor):
        yield action
        return
    for part in action.values() if isinstance(action, Mapping) else action:
        yield from _leaves(part)


def export_onnx(policy: StandalonePolicy, path: str | Path, notes: Mapping[str, str] | None = None) -> Path:
    """Write `policy` as one ONNX file, all or nothing; `notes` and the spaces go into its metadata.

    Inputs: "obs" [N, ...] or, for Dict and Tuple observations, "obs.KEY" each, in the dtypes of the environment (float64 as
    float32, unsigned integers of more than 8 bits as int64 or int32); "state_in" [N, H] for a recurrent policy. Outputs:
    "action" [N, ...] or "action.KEY" each, "params" [N, P], "value" [N], "state_out" [N, H]. N is free.
    Raises UserError where the network has something that ONNX cannot say, or the file cannot be written.
    """
    flat = FlatPolicy(policy).eval()
    example = flat.example()
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings(), _without_torchvision():
            warnings.simplefilter("ignore")  # torch's own deprecations, and that all batch axes are one
            program = torch.onnx.export(
                flat,
                example,
                input_names=flat.input_names,
                output_names=flat.output_names,
                dynamic_shapes=(tuple({0: batch} for _ in example),),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(
            f"this policy's network has no form in ONNX: {reason}. Its own code has to change, or: --torch"
        ) from error
    assert program is not None
    proto = program.model_proto
    for key, value in _notes(policy, notes or {}).items():
        proto.metadata_props.add(key=key, value=value)
    return _write(Path(path), proto.SerializeToString())


@contextlib.contextmanager
def _without_torchvision() -> Iterator[None]:
    """torch warns four times that torchvision's operators are not there: no policy has any."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def save_torch(policy: StandalonePolicy, path: str | Path) -> Path:
    """Write `policy` by `torch.save`, all or nothing; `torch.load(path, weights_only=False)` needs arl-core and the plugins
    whose networks are in it. Raises UserError where the file cannot be written."""
    buffer = io.BytesIO()
    torch.save(policy, buffer)
    return _write(Path(path), buffer.getvalue())


def _notes(policy: StandalonePolicy, notes: Mapping[str, str]) -> dict[str, str]:
    from arl_core import __version__

    spaces = {"observation_space": str(policy.obs_space), "action_space": str(policy.action_space)}
    return {"producer": f"arl-core {__version__}", **spaces, **notes}


def _write(path: Path, content: bytes) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the cause is what is reported
            partial.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    return path
