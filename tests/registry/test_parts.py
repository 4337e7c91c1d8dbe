"""A plugin's own network, algorithm and loss: found by name, trained with, saved, and told apart from mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import warm

from arl_core.runtime.processes import zygote
from arl_core.testing.pytest_plugin import fake_site

PARTS = '''
import torch
from arl_core.algorithms.base import AuxiliaryLoss, PolicyGradient
from arl_core.algorithms.losses import masked_mean
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import AlgorithmSpec, EncoderSpec, EnvFamily, LossSpec, ModelSpec
from pydantic import BaseModel, ConfigDict, Field


class Table(torch.nn.Module):
    """A linear policy, with a memory of the last observation where it is asked for."""

    def __init__(self, obs_space, num_params, cfg):
        super().__init__()
        width = obs_space["obs"].shape[0]
        self.state_size = width if cfg.use_rnn else 0
        self.params = torch.nn.Linear(width + self.state_size, num_params)
        self.value = torch.nn.Linear(width + self.state_size, 1)

    def forward(self, obs, state):
        x = obs["obs"]
        both = x if state is None else torch.cat([x, state], -1)
        return self.params(both), self.value(both).squeeze(-1), None if state is None else x


class Narrow(Table):
    def __init__(self, obs_space, num_params, cfg):
        super().__init__(obs_space, num_params + 1, cfg)


class Dropping(torch.nn.Sequential):
    def __init__(self, obs_space, cfg):
        super().__init__(torch.nn.Linear(obs_space["obs"].shape[0], 64), torch.nn.Dropout(0.5))
        self.output_size = 64

    def forward(self, obs):
        return super().forward(obs["obs"])


class Reinforce(PolicyGradient):
    def policy_term(self, inputs, cfg):
        return masked_mean(-inputs.log_probs * inputs.targets.returns, inputs.weights)

    def extra_metrics(self, inputs, cfg):
        return {"return_of_rollout": masked_mean(inputs.targets.returns, inputs.weights)}


class NoveltyOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scale: float = Field(0.5, ge=0.0, description="size of the bonus")
    features: int = Field(4, ge=1, description="outputs of its networks")


class Novelty(AuxiliaryLoss):
    """Random network distillation in two lines."""

    def __init__(self, model, obs_space, action_space, cfg, scale, features):
        super().__init__()
        width = obs_space.shape[0]
        self.target, self.guess = torch.nn.Linear(width, features).requires_grad_(False), torch.nn.Linear(width, features)
        self.scale = scale

    def errors(self, batch):
        x = batch.obs["obs"][1:]
        return (self.guess(x) - self.target(x)).square().mean(-1)

    def bonus(self, batch):
        return self.scale * self.errors(batch)

    def loss(self, model, batch):
        error = masked_mean(self.errors(batch), batch.valid / batch.valid.sum().clamp(min=1))
        return error, {"error": error.detach()}


@hookimpl
def arl_environments():
    return [EnvFamily(name="parts", summary="nothing to step", resolver=f"{__name__}:nothing")]


@hookimpl
def arl_encoders():
    return [EncoderSpec("parts/dropping", f"{__name__}:Dropping")]


@hookimpl
def arl_models():
    return [ModelSpec("parts/table", f"{__name__}:Table"), ModelSpec("parts/narrow", f"{__name__}:Narrow")]


@hookimpl
def arl_algorithms():
    return [
        AlgorithmSpec("parts/reinforce", f"{__name__}:Reinforce", defaults={"with_vtrace": False, "gae_lambda": 1.0}),
        AlgorithmSpec("parts/tabular", f"{__name__}:Reinforce", defaults={"model": "parts/table"}),
        AlgorithmSpec("parts/usurper", f"{__name__}:Reinforce", defaults={"gamma": 0.9, "env": "maze"}),
    ]


@hookimpl
def arl_losses():
    more = {"maker": f"{__name__}:Novelty", "options": f"{__name__}:NoveltyOptions"}
    return [LossSpec("parts/novelty", **more), LossSpec("parts/twin", **more)]
'''

TRAIN = """
import gymnasium as gym
import numpy as np
from arl_core import APPO


class Bandit(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([1.0, 0.0], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([1.0, self.t / 4], np.float32), float(action == 1), self.t == 4, False, {}


def model(**fields):
    kwargs = {"rollout": 8, "batch_size": 64, "learning_rate": 2e-2, "reward_scale": 0.25, "seed": 1,
              "algo": "parts/reinforce", "model": "parts/table",
              "losses": [{"name": "parts/novelty", "options": {"scale": 0.01}}], **fields}
    return APPO(Bandit, num_workers=1, num_envs_per_worker=8, policy_kwargs=kwargs)


def train(fields):
    seen = []


    def unfinished(values):
        seen.append(dict(values["losses"]))
        error = seen[-1].get("parts/novelty/error", 1.0)
        return error > 0.04 or (values["return_mean"] or 0.0) < 3.9

    with model(**fields) as run:
        status = run.train(100_000, callback=unfinished)
        errors = [losses["parts/novelty/error"] for losses in seen if losses]
        run.save("state.pt")
        with model(**fields) as other:
            other.load("state.pt")
            same = all((a == b).all() for a, b in zip(run.get_parameters()[0].values(), other.get_parameters()[0].values()))
            again = int(other.train(640))
        metrics = sorted(seen[-1])
        return int(status), status.error, run.evaluate(8)["return_mean"], errors, metrics, bool(same), again
"""


OTHER_LOSSES = """
from arl_core import UserError
from train_parts import model

NOVELTY, TWIN = {"name": "parts/novelty"}, {"name": "parts/twin"}
RUNS = {"none": [], "one": [NOVELTY], "twin": [TWIN], "both": [NOVELTY, TWIN],
        "wide": [{"name": "parts/novelty", "options": {"features": 8}}], "same": [{"name": "arl-plugin-parts::parts/novelty"}]}

def load_each_into_each(serial):
    for name in ("none", "one"):
        with model(losses=RUNS[name], serial=serial) as run:
            assert run.train(64) == 0
            run.save(f"{name}.pt")
    told = {}
    for name, losses in RUNS.items():
        with model(losses=losses, serial=serial) as run:
            for begun in (False, True):
                for saved in ("none", "one"):
                    try:
                        run.load(f"{saved}.pt")
                        told[f"{saved} into {name}"] = int(run.train(64))
                    except UserError as error:
                        told[f"{saved} into {name}"] = str(error)
                if not begun:
                    assert run.train(64) == 0
    return told
"""


DROPPING = """
import json
from pathlib import Path
import gymnasium as gym
import numpy as np
import torch
from arl_core import APPO, load_policy
from arl_core.runtime.evaluate import evaluate_run


class Lever(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([1.0, 0.0], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([1.0, self.t / 4], np.float32), float(action[0]), self.t == 4, False, {}


NAME, OBS = "py:dropping:Lever", np.array([[0.5, 0.5]], np.float32)
FIELDS = {"rollout": 8, "batch_size": 64, "serial": True, "sampler_only": True, "experiment": "r",
          "eval_every_frames": 64, "eval_episodes": 4}
evaluated = {}


def observe(values):
    if values["evaluation"]:
        evaluated[values["evaluation"]["frames"]] = values["evaluation"]["return_mean"]
    return len(evaluated) < 3


if __name__ == "__main__":
    with APPO(NAME, encoder="parts/dropping", num_workers=1, num_envs_per_worker=8, policy_kwargs=FIELDS) as run:
        run.train(10**9, observe)
        actions = [float(run.predict(OBS, deterministic=True)[0][0, 0]) for _ in range(3)]
        copies = [run.policy(), load_policy("train_dir/r", env=NAME)]
        actions += [float(policy(torch.from_numpy(OBS)).action[0, 0]) for policy in copies]
        returns = [run.evaluate(4)["return_mean"] for _ in range(2)]
    saved = {"episodes": 4, "deterministic": True, "seed": None, "picture": None, "env": NAME}
    returns += [evaluate_run(Path("train_dir/r"), **saved)["return_mean"] for _ in range(2)]
    print(json.dumps([actions, returns + list(evaluated.values())]))
"""


@pytest.fixture
def parts(fakes: Any) -> Any:
    fakes.module("arl_plugin_parts", PARTS)
    fakes.dist("arl-plugin-parts", "0.1", {"parts": "arl_plugin_parts"})
    fakes.module("dropping", DROPPING)
    return fakes


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports one of the programs above, in this process, where the plugin is installed meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zygote, "subprocess", warm.for_nurseries())
    files = {"arl_plugin_parts.py": PARTS, "train_parts.py": TRAIN, "other_losses.py": OTHER_LOSSES}
    with fake_site(tmp_path / "site") as install:
        install("arl-plugin-parts", version="0.1", plugins={"parts": "arl_plugin_parts"}, files=files)
        yield import_module


@pytest.mark.parametrize("fields", [{}, {"use_rnn": True, "inference": "central"}, {"serial": True}])
def test_network_algorithm_and_loss_train_together(imported: Callable[[str], Any], fields: dict[str, Any]) -> None:
    status, error, mean, errors, metrics, same, again = imported("train_parts").train(fields)
    assert (status, error) == (1, ""), "it has learnt within 100,000 frames"
    assert mean == 4.0
    assert errors[-1] < 0.05, "the loss's own parameters are trained: untrained ones err by about 0.7"
    assert {"return_of_rollout", "policy_loss", "parts/novelty/error"} <= set(metrics)
    assert same
    assert again == 0


@pytest.mark.parametrize("serial", [False, True])
def test_a_checkpoint_of_other_losses_is_told_before_anything_is_loaded(imported: Callable[[str], Any], serial: bool) -> None:
    told = imported("other_losses").load_each_into_each(serial)
    cure = ". Name the same losses with the same options, or none"
    for name in ("twin", "both", "wide"):
        text = told.pop(f"one into {name}")
        assert "one.pt does not fit: its losses do not fit: " in text
        assert text.endswith(cure)
        assert "\n" not in text
        expected = {"twin": "they are parts/novelty, this run's are parts/twin", "wide": "size mismatch for 0.guess.weight"}
        assert expected.get(name, "they are parts/novelty, this run's are parts/novelty, parts/twin") in text
    assert set(told.values()) == {0}, "where either has none, training goes on"


def test_a_network_with_dropout_is_evaluated_without(parts: Any) -> None:
    """By `predict`, a copy of the policy, a saved one, and evaluations of the model, of its directory and during the run."""
    done = parts.run("dropping.py", torch=True)
    assert done.returncode == 0, done.stderr
    actions, returns = json.loads(done.stdout.splitlines()[-1])
    assert actions == pytest.approx([actions[0]] * 5, abs=1e-6)
    assert returns == pytest.approx([returns[0]] * 7, abs=1e-5)
    assert abs(actions[0]) > 1e-4
    assert abs(returns[0]) > 1e-4


def test_mistakes_are_one_line(parts: Any) -> None:
    run = ["run", "--env", "gym:CartPole-v1", "--train_for_env_steps", "100"]
    cases = {
        ("--algo", "parts/reinforse"): "no algorithm 'parts/reinforse'. Did you mean 'parts/reinforce'?",
        ("--algo", "parts/usurper"): "arl-plugin-parts 0.1: the defaults of algorithm 'parts/usurper' must not set 'env'",
        ("--encoder", "parts"): "no encoder 'parts'. Plugin 'parts' has: parts/dropping",
        ("--model", "parts/tabel"): "no model 'parts/tabel'. Did you mean 'parts/table'?",
        ("--model", "parts/narrow"): "model 'parts/narrow' gives parameters of shape (2, 3) for two rows, not (2, 2)",
        ("--model", "parts/table", "--encoder", "mlp"): "model 'parts/table' is a whole network: it takes no encoder ('mlp')",
        ("--losses", '[{"name": "parts/novelty", "options": {"scael": 1}}]'): "has no option 'scael'. Did you mean 'scale'?",
        ("--losses", '[{"name": "parts/novelti"}]'): "no loss 'parts/novelti'. Did you mean 'parts/novelty'?",
        ("--losses", "parts/novelti"): "no loss 'parts/novelti'. Did you mean 'parts/novelty'?",
        ("--losses", "parts"): "no loss 'parts'. Plugin 'parts' has: parts/novelty",
        ("--losses", "parts/novelty,parts/twin,arl-plugin-parts::parts/novelty"): "losses: 'parts/novelty' is there twice",
        ("--losses", '[{"nam": "x"}]'): 'losses: expected {"name": ..., "options": {...}}',
        ("--algo", "part/reinforce"): "no algorithm 'part/reinforce': no plugin 'part' is installed. Did you mean 'parts'?",
    }
    script = f"""
import sys
from arl_core.cli.main import main
for arguments in {list(cases)!r}:
    print("exit code", main([*{run!r}, *arguments]), "next", file=sys.stderr, flush=True)
"""
    done = parts.run("-c", script, torch=True)  # one process for all: to start one takes longer than all the rest
    assert done.returncode == 0, done.stderr
    *said, rest = done.stderr.split("next\n")
    assert not rest
    for (arguments, message), text in zip(cases.items(), said, strict=True):
        text, _, code = text.rpartition("exit code ")
        assert code == "2 ", (arguments, text)
        assert message in text
        assert len(text.strip().splitlines()) <= 2, text


def test_a_network_that_an_algorithm_sets_takes_the_place_of_the_familys_encoder(parts: Any) -> None:
    parts.corridor()
    result = parts.python(
        """
        from arl_core.config import Layer
        from arl_core.registry import resolve_run
        config = resolve_run(Layer("keyword", {"env": "corridor", "algo": "parts/tabular"}), environ={})[0].config
        result = [config.model, config.encoder]
        """
    )
    assert result == ["parts/table", None]


def test_they_are_shown(parts: Any) -> None:
    done = parts.arl("plugins", "show", "parts")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("parts/table", "parts/reinforce", "parts/novelty"))
    assert '  options of parts/novelty: {"name": "parts/novelty", "options": {...}}' in done.stdout
    assert "    scale X                           size of the bonus (default: 0.5)" in done.stdout
    page = parts.arl("plugins", "docs", "parts").stdout
    assert "### Options of parts/novelty" in page
    assert "| `scale` | `X` | `0.5` | size of the bonus |" in page
