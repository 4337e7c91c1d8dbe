"""A good plugin (the one that `arl plugins new` writes), and what a test changes in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from arl_core.cli.plugin_commands.new import write_project
from arl_core.testing import processes

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

import warm

pytest_plugins = ["arl_core.testing.pytest_plugin"]

Changes = Mapping[str, tuple[str, str]]


PARTS = """
import torch
from torch import nn
from arl_core.algorithms.base import AuxiliaryLoss, PolicyGradient

class Model(nn.Module):
    def __init__(self, obs_space, num_params, cfg):
        super().__init__()
        self.layer = nn.Linear(sum(leaf.shape[0] for leaf in obs_space.values()), num_params + 1)

    def forward(self, obs, state):
        out = self.layer(torch.cat(list(obs.values()), dim=1))
        return out[:, :-1], out[:, -1], None

class Loss(AuxiliaryLoss):
    def __init__(self, model, obs_space, action_space, cfg):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def loss(self, model, batch):
        return self.scale.square(), {"scale": self.scale.detach()}

class Algorithm(PolicyGradient):
    pass
"""
PARTS_HOOKS = """
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import AlgorithmSpec, LossSpec, ModelSpec

@hookimpl
def arl_models():
    return [ModelSpec("NAME/model", "NAME_parts:Model")]

@hookimpl
def arl_losses():
    return [LossSpec("NAME/loss", "NAME_parts:Loss")]

@hookimpl
def arl_algorithms():
    return [AlgorithmSpec("NAME/algorithm", "NAME_parts:Algorithm", defaults={"gamma": 0.98})]
"""


@pytest.fixture(autouse=True)
def warm_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs that checks make find torch imported."""
    monkeypatch.setattr(processes, "subprocess", warm.substitute(lambda command: command[1:4] == ["-m", "arl_core", "run"]))


@pytest.fixture
def install_plugin(fake_distribution: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Install the plugin `name`, whose module `file` has `new` in place of `old` for each of the changes."""

    def install(name: str, changes: Changes | None = None, more: Mapping[str, str] | None = None, **metadata: Any) -> Path:
        project = tmp_path / f"arl-plugin-{name}"
        write_project(name, project)
        package = f"arl_plugin_{name}"
        source = project / "src"
        files = {str(path.relative_to(source)): path.read_text() for path in source.rglob("*.py")}
        for file, (old, new) in (changes or {}).items():
            path = f"{package}/{file}"
            assert old in files[path], f"{file} does not hold {old!r}"
            files[path] = files[path].replace(old, new)
        files |= {f"{package}/{file}": text for file, text in (more or {}).items()}
        defaults: dict[str, Any] = {"plugins": {name: f"{package}.plugin"}, "files": files}
        return fake_distribution(f"arl-plugin-{name}", **{**defaults, **metadata})

    return install


@pytest.fixture
def install_parts(fake_distribution: Callable[..., Path]) -> Callable[..., Path]:
    """Install the plugin `name` of a model, a loss and an algorithm, with `new` in place of `old`."""

    def install(name: str, old: str = "", new: str = "") -> Path:
        files = {f"{name}_hooks.py": PARTS_HOOKS.replace("NAME", name), f"{name}_parts.py": PARTS}
        assert old in PARTS_HOOKS + PARTS
        files = {file: text.replace(old, new) if old else text for file, text in files.items()}
        return fake_distribution(f"arl-plugin-{name}", plugins={name: f"{name}_hooks"}, files=files)

    return install
