"""What `--resume` goes on with: a run directory's saved configuration. Data only: nothing that it names is executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from arl_core.cli.request import Request, named_field, named_selection
from arl_core.config.layers import Layer, nearest
from arl_core.interfaces import UserError
from arl_core.registry.provenance import Provenance, saved_run

ORIGIN = "saved run"


class SavedRun(NamedTuple):
    """A run directory, its configuration as a layer, and what it said of its environment."""

    path: Path
    layer: Layer
    provenance: Provenance


def find_saved_run(request: Request) -> SavedRun:
    """The run `--experiment` of `--train_dir`, or the newest one (of `--env`, where given). Raises UserError."""
    train_dir = Path(os.path.expanduser(str(named_field(request, "train_dir"))))
    experiment = str(named_field(request, "experiment"))
    if experiment:
        file = train_dir / experiment / "config.json"
        if not file.is_file():
            names = [path.parent.name for path in _newest_first(train_dir)]
            others = f" The newest there is '{names[0]}'" if names else " It has none; --train_dir names another folder"
            raise UserError(f"--resume: no run '{experiment}' in {train_dir}.{nearest(experiment, names) or others}")
        return read_saved_run(file)
    files = _newest_first(train_dir)
    wanted = _resolved_id(request)
    for file in files:
        saved = read_saved_run(file)
        if wanted is None or saved.provenance.is_of(wanted):
            return saved
    of_env = f" of '{wanted}'" if wanted else ""
    raise UserError(f"--resume: no run{of_env} in {train_dir}; name one with --train_dir and --experiment")


def _newest_first(train_dir: Path) -> list[Path]:
    """The saved configurations of its runs."""
    return sorted(train_dir.glob("*/config.json"), key=lambda file: file.stat().st_mtime, reverse=True)


def read_saved_run(file: Path) -> SavedRun:
    """Read a run's `config.json`. Raises UserError where it is not what a run writes."""
    config, provenance = saved_run(file.parent)
    place = {"train_dir": str(file.parent.parent), "experiment": file.parent.name}
    return SavedRun(file.parent, provenance.stays_with_its_plugin(Layer(ORIGIN, {**config, **place})), provenance)


def _resolved_id(request: Request) -> str | None:
    """The environment that the command line names, in full; None where it names none."""
    if "env" not in request.fields:
        return None
    from arl_core.registry.resolve import resolve_env

    return resolve_env(request.fields["env"], selection=named_selection(request)).id
