"""What a plugin's models, algorithms and losses must do: train, be saved, and go on, through the command line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from arl_core.config.layers import Layer, merge_layers
from arl_core.interfaces import AlgorithmSpec, LossSpec, ModelSpec
from arl_core.registry.catalog import check_settable
from arl_core.testing.processes import Ended
from arl_core.testing.results import Check, CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject
from arl_core.testing.training import FRAMES, run_arl, summary_of

PLAIN_ENV = "gym:CartPole-v1"  # for a plugin that has no environment


class PartCase(NamedTuple):
    """A model, an algorithm or a loss of the plugin, and the flag that names it in a run."""

    subject: Subject
    flag: str
    spec: ModelSpec | AlgorithmSpec | LossSpec

    def __str__(self) -> str:
        return self.spec.name

    @property
    def env(self) -> str:
        """The plugin's own environment, or a plain one."""
        return str(self.subject.variants[0]) if self.subject.variants else PLAIN_ENV

    def run(self, folder: Path, *more: str) -> Ended:
        """A short run with this part, in serial mode."""
        name = self.spec.name
        dist = self.subject.record.dist
        named = f"{dist}::{name}" if dist and "/" in name else name  # whoever else claims the name
        value = f'[{{"name": "{named}"}}]' if self.flag == "--losses" else named
        return run_arl(folder, "--env", self.env, self.flag, value, *more)


@rule("algorithm.defaults", "the fields and their types: docs/configuration.md", essential=True)
def defaults(case: PartCase) -> Result:
    """An algorithm's defaults are fields with valid values."""
    values = case.spec.defaults if isinstance(case.spec, AlgorithmSpec) else {}
    check_settable(case.subject.record, f"the defaults of algorithm '{case}'", values)
    merge_layers([Layer(f"algorithm '{case}'", values)])
    return ok(", ".join(sorted(values)) or "changes no defaults")


@rule("part.trains", "see it: arl run --env ENV --serial with --model, --algo or --losses NAME", essential=True)
def trains(case: PartCase) -> Result:
    """A few thousand frames train with it, and the run goes on from what was saved."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ended = case.run(folder)
        is_wrong = ended.last_line.startswith(("error: algorithm '", "error: loss '"))  # not its own refusal of the environment
        if ended.code == 2 and case.env == PLAIN_ENV and not is_wrong:
            return skip(f"refuses {PLAIN_ENV}; test it yourself: {ended.last_line}")
        if ended.code != 0:
            raise CheckFailed(f"with {case.env} the run {ended.how}: {ended.last_line}")
        first = summary_of(folder)
        ended = run_arl(folder, "--resume", frames=2 * FRAMES)
        if ended.code != 0:
            raise CheckFailed(f"resumed, it {ended.how}: {ended.last_line}", "hold state in parameters and buffers")
        second = summary_of(folder)
    return ok(f"{case.env}: {first['frames']:,} frames in {first['seconds']:.1f} s, resumed until {second['frames']:,}")


def part_checks(subject: Subject) -> list[list[Check]]:
    """The checks of each of the plugin's models, algorithms and losses."""
    models = [PartCase(subject, "--model", spec) for spec in subject.models]
    algorithms = [PartCase(subject, "--algo", spec) for spec in subject.algorithms]
    losses = [PartCase(subject, "--losses", spec) for spec in subject.losses]
    return [
        *([trains.of(part)] for part in (*models, *losses)),
        *([defaults.of(part), trains.of(part)] for part in algorithms),
    ]
