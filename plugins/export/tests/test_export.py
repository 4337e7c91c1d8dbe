"""Exported files played by onnxruntime beside the policy that they came from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from arl_plugin_export import export_onnx
from arl_plugin_export.check import _difference, largest_difference
from arl_plugin_export.cli import main
from arl_plugin_export.onnx_file import FlatPolicy
from gymnasium import spaces

from arl_core import APPO, UserError, load_policy
from arl_core.envs.spaces import obs_specs, obs_writer
from arl_core.models.standalone import StandalonePolicy


class Toy(gymnasium.Env):  # type: ignore[type-arg]
    """Random observations, episodes of eight steps, any spaces. It refuses actions that are not in its space."""

    def __init__(self, obs: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = obs, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 8, False, {}


VECTOR = spaces.Box(-3.0, 3.0, (3,), np.float64)
PIXELS = spaces.Box(0, 255, (12, 12, 3), np.uint8)
MASKED = spaces.Dict({"x": VECTOR, "action_mask": spaces.MultiBinary(5)})
MIXED = spaces.Dict({"picture": PIXELS, "inner": spaces.Dict({"class": spaces.Discrete(4, start=1), "x": VECTOR})})
DIGITS = spaces.Box(0, 9, (2,), np.int64)
ARM = spaces.Dict(
    {
        "gate": spaces.Discrete(3, start=1),
        "rest": spaces.Tuple(
            (spaces.Box(-1.0, 1.0, (1,), np.float64), spaces.MultiBinary(2), spaces.Box(0, 9, (2,), np.int64))
        ),
    }
)
NORMALIZED = {"normalize_input": True, "normalize_returns": True}
SQUASHED = {"tanh_squash": True, "adaptive_stddev": True, "actor_critic_share_weights": False, "nonlinearity": "elu"}
CASES: dict[str, tuple[spaces.Space[Any], spaces.Space[Any], dict[str, Any]]] = {
    "discrete": (VECTOR, spaces.Discrete(3, start=-1), NORMALIZED),
    "multi-discrete, gru": (VECTOR, spaces.MultiDiscrete([2, 3], start=[1, 2]), {**NORMALIZED, "use_rnn": True}),
    "box, lstm": (VECTOR, spaces.Box(-0.01, 0.01, (2, 2)), {"use_rnn": True, "rnn_type": "lstm", "rnn_num_layers": 2}),
    "mask": (MASKED, spaces.MultiDiscrete([2, 3]), {}),
    "nested": (MIXED, ARM, {"tanh_squash": True, "use_rnn": True}),
    "pixels, squashed box": (PIXELS, spaces.Box(-2.0, 6.0, (2,)), SQUASHED),
}


def trained(name: str, **fields: Any) -> APPO:
    obs, action, options = CASES[name]
    kwargs = {"serial": True, "rollout": 8, "batch_size": 32, "hidden_size": 16, "learning_rate": 0.01, **options, **fields}
    model = APPO(env=lambda: Toy(obs, action), num_workers=1, num_envs_per_worker=4, policy_kwargs=kwargs)
    model.train(256)
    return model


def rows_of(space: spaces.Space[Any], observations: list[Any]) -> list[np.ndarray]:
    """Observations as inputs of the file, in order."""
    arrays = {key: np.zeros((len(observations), *spec.shape), spec.dtype) for key, spec in obs_specs(space).items()}
    write = obs_writer(space)
    for row, observation in enumerate(observations):
        if write is None:
            arrays["obs"][row] = observation
        else:
            write(observation, arrays, row)
    return list(arrays.values())


def flattened(action: Any) -> list[np.ndarray]:
    if isinstance(action, dict):
        action = tuple(action.values())
    if isinstance(action, tuple):
        return [leaf for part in action for leaf in flattened(part)]
    return [np.asarray(action)]


def check_rows(flat: FlatPolicy, session: onnxruntime.InferenceSession) -> None:
    """Seven rows at once, from a memory that is not empty."""
    space = flat.policy.obs_space
    space.seed(0)
    rows = rows_of(space, [space.sample() for _ in range(7)])
    if flat.policy.state_size:
        rows.append(np.random.default_rng(0).normal(size=(7, flat.policy.state_size)).astype(np.float32))
    with torch.inference_mode():
        ours = flat(*map(torch.from_numpy, rows))
    theirs = session.run(flat.output_names, dict(zip(flat.input_names, rows, strict=True)))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_the_file_plays_as_the_policy_does(name: str, tmp_path: Path) -> None:
    model = trained(name)
    policy = model.policy()
    flat = FlatPolicy(policy)
    file = export_onnx(policy, tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == flat.input_names
    assert [o.name for o in session.get_outputs()] == flat.output_names
    check_rows(flat, session)
    env = model.get_env()
    observation, _ = env.reset(seed=3)
    state, theirs = None, np.zeros((1, policy.state_size), np.float32)
    done = False
    while not done:
        action, state = model.predict(observation, state, deterministic=True)
        inputs = rows_of(policy.obs_space, [observation])
        feed = dict(zip(flat.input_names, [*inputs, *([theirs] if policy.state_size else [])], strict=True))
        out = dict(zip(flat.output_names, session.run(flat.output_names, feed), strict=True))
        leaves = [value for key, value in out.items() if key.startswith("action")]
        for ours, other in zip(flattened(action), leaves, strict=True):
            assert ours.dtype == other.dtype
            np.testing.assert_allclose(ours, other[0], rtol=1e-4, atol=1e-5)
        if state is not None:
            theirs = out["state_out"]
            np.testing.assert_allclose(state, theirs, rtol=1e-4, atol=1e-5)
        observation, _, done, _, _ = env.step(action)
    model.close()


def test_values_are_in_units_of_rewards_and_normalisers_are_inside() -> None:
    model = trained("discrete")
    policy, network = model.policy(), model._trainer.models[0]
    obs = torch.randn(5, 3)
    out = policy(obs)
    with torch.inference_mode():
        expected = network.act({"obs": obs}, None, None, deterministic=True)
    assert float(network.returns_norm.mean) != 0.0
    assert torch.equal(out.value, network.denormalize_values(expected.value))
    assert torch.equal(out.action, expected.actions.squeeze(-1) - 1)
    assert out.state is None
    model.train(256)
    assert torch.equal(policy(obs).params, out.params)  # a copy: training goes on without it
    model.close()


def run_of(tmp_path: Path) -> Path:
    """A short run with a directory."""
    own = {"train_dir": str(tmp_path), "experiment": "r", "serial": True, "use_rnn": True, "normalize_input": True}
    with APPO("gym:CartPole-v1", num_workers=1, num_envs_per_worker=16, policy_kwargs=own) as model:
        model.train(2000)
    return tmp_path / "r"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path)
    onnx_file, torch_file = tmp_path / "p.onnx", tmp_path / "p.pt"
    assert main([str(run), "--output", str(onnx_file), "--torch", str(torch_file), "--check"]) == 0
    assert "largest difference" in capsys.readouterr().out
    proto = onnx.load(onnx_file)
    onnx.checker.check_model(proto, full_check=True)
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    assert notes["action_space"] == "Discrete(2)"
    assert notes["checkpoint"] == "latest"
    assert not list(tmp_path.glob(".*.partial"))
    words = [sys.executable, "-m", "arl_plugin_export", str(run), "--output", str(onnx_file)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stderr == ""
    code = f"import torch; p = torch.load({str(torch_file)!r}, weights_only=False); print(p(torch.ones(2, 4)).params.tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    policy = load_policy(run)
    assert isinstance(policy, StandalonePolicy)
    assert torch.allclose(torch.tensor(eval(printed)), policy(torch.ones(2, 4)).params)
    assert main([str(run), "--output", str(onnx_file), "--policy", "1"]) == 2
    assert capsys.readouterr().err == f"error: {run} has no policy 1: they are numbered from 0 to 0\n"


def test_a_network_of_ones_own_and_options_that_are_others_now_are_named_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from arl_core.models.encoders import MlpEncoder\n\n\nclass Net(MlpEncoder):\n    pass\n"
    (tmp_path / "own_net.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"train_dir": str(tmp_path), "experiment": "r", "serial": True}
    with APPO("gym:CartPole-v1", "py:own_net:Net", num_workers=1, num_envs_per_worker=16, policy_kwargs=own) as model:
        model.train(1000)
    words = [str(tmp_path / "r"), "--torch", str(tmp_path / "p.pt")]
    assert main(words) == 2
    assert "Name it yourself: --encoder py:own_net:Net" in capsys.readouterr().err
    assert main([*words, "--encoder", "py:own_net:Net", "--gym.sutton_barto_reward", "true"]) == 0
    assert main([*words, "--encoder", "py:own_net:Net", "--gym.sutton_bart", "true"]) == 2
    assert "Did you mean 'sutton_barto_reward'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name the run's directory"),
        ([".", "--ouput", "p.onnx"], "Did you mean --output?"),
        ([".", "--output", "p.onnx", "--policy", "first"], "--policy: expected a whole number"),
        (["nowhere", "--output", "p.onnx"], "no directory nowhere"),
        (["."], "--output FILE.onnx, --torch FILE.pt"),
        ([".", "--torch", "p.pt", "--check"], "--check compares an ONNX file"),
        ([".", "--output", "p.onnx"], "is not a run directory"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_difference_is_relative_to_the_outputs_magnitude() -> None:
    ours = np.array([[3.0, -40.0]], np.float32)
    assert _difference(ours, ours + np.float32(4e-3)) == pytest.approx(1e-4, rel=1e-2)
    assert _difference(ours / 100, ours / 100 + np.float32(4e-3)) == pytest.approx(4e-3, rel=1e-2)  # of at least 1
    assert np.isnan(_difference(ours, ours * np.float32(np.nan)))


def test_a_file_that_differs_is_refused(tmp_path: Path) -> None:
    first, second = trained("discrete"), trained("discrete", seed=5)
    file = export_onnx(first.policy(), tmp_path / "p.onnx")
    assert largest_difference(first.policy(), file) < 1e-5
    with pytest.raises(UserError, match="differs from the policy"):
        largest_difference(second.policy(), file)
    for model in (first, second):
        model.close()
