"""What a plugin's models, algorithms and losses must do: train, be saved, and go on, through the command line."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from arl_core.config.layers import Layer, merge_layers
from arl_core.interfaces import AlgorithmSpec, LossSpec, ModelSpec
from arl_core.registry.catalog import check_settable
from arl_core.testing.plain import PLAIN
from arl_core.testing.processes import Ended
from arl_core.testing.results import Check, CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Subject
from arl_core.testing.training import FRAMES, run_arl, summary_of

# what the core says of a part that is not as it should be: anything else is the part's own refusal of the environment
_FAULTY = re.compile(r"error: ((algorithm|loss) '|model '[^']*' (gives|is|cannot be used for observations) )")


class PartCase(NamedTuple):
    """A model, an algorithm or a loss of the plugin, and the flag that names it in a run."""

    subject: Subject
    flag: str
    spec: ModelSpec | AlgorithmSpec | LossSpec

    def __str__(self) -> str:
        return self.spec.name

    @property
    def envs(self) -> Sequence[str]:
        """The plugin's own environment, or plain ones."""
        return [str(self.subject.variants[0])] if self.subject.variants else PLAIN

    def run(self, folder: Path, env: str) -> Ended:
        """A short run with this part, in serial mode."""
        name = self.spec.name
        dist = self.subject.record.dist
        named = f"{dist}::{name}" if dist and "/" in name else name  # whoever else claims the name
        value = f'[{{"name": "{named}"}}]' if self.flag == "--losses" else named
        return run_arl(folder, "--env", env, self.flag, value)


@rule("algorithm.defaults", "the fields and their types: docs/configuration.md", essential=True)
def defaults(case: PartCase) -> Result:
    """An algorithm's defaults are fields with valid values."""
    values = case.spec.defaults if isinstance(case.spec, AlgorithmSpec) else {}
    check_settable(case.subject.record, f"the defaults of algorithm '{case}'", values)
    merge_layers([Layer(f"algorithm '{case}'", values)])
    return ok(", ".join(sorted(values)) or "changes no defaults")


@rule(
    "part.trains",
    "see it: arl run --env ENV --serial with --model, --algo or --losses NAME; refuse an environment that it is not made for "
    "with arl_core.interfaces.UserError",
    essential=True,
)
def trains(case: PartCase) -> Result:
    """A few thousand frames train with it, and the run goes on from what was saved."""
    refusal = ""
    for env in case.envs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ended = case.run(folder, env)
            if ended.code == 2 and not case.subject.variants and not _FAULTY.match(ended.last_line):
                refusal = ended.last_line
                continue
            if ended.code != 0:
                raise CheckFailed(f"with {env} the run {ended.how}: {ended.last_line}")
            first = summary_of(folder)
            ended = run_arl(folder, "--resume", "--env", env, frames=2 * FRAMES)
            if ended.code != 0:
                raise CheckFailed(f"resumed, it {ended.how}: {ended.last_line}", "hold state in parameters and buffers")
            second = summary_of(folder)
        return ok(f"{env}: {first['frames']:,} frames in {first['seconds']:.1f} s, resumed until {second['frames']:,}")
    return skip(f"refuses {', '.join(case.envs)}; test it yourself: {refusal}")


def part_checks(subject: Subject) -> list[list[Check]]:
    """The checks of each of the plugin's models, algorithms and losses."""
    models = [PartCase(subject, "--model", spec) for spec in subject.models]
    algorithms = [PartCase(subject, "--algo", spec) for spec in subject.algorithms]
    losses = [PartCase(subject, "--losses", spec) for spec in subject.losses]
    return [
        *([trains.of(part)] for part in (*models, *losses)),
        *([defaults.of(part), trains.of(part)] for part in algorithms),
    ]
