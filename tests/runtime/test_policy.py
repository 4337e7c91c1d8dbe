"""The policy as a plain module: what it does is what `predict` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_envs
import torch
from run_support import small

from arl_core import UserError, load_policy
from arl_core.models.standalone import StandalonePolicy

SERIAL: dict[str, Any] = {"serial": True, "hidden_size": 16, "normalize_input": True}


def same(ours: Any, theirs: Any) -> bool:
    """Whether an action of `predict` is row 0 of the module's, part by part."""
    if isinstance(ours, dict):
        return all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, tuple):
        return all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    return np.allclose(ours, theirs[0].numpy(), rtol=1e-5, atol=1e-6) and np.asarray(ours).dtype == theirs[0].numpy().dtype


def tensors(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: tensors(value) for key, value in observation.items()}
    return torch.as_tensor(observation)[None]


@pytest.mark.parametrize(
    ("env", "fields"),
    [
        (tiny_envs.Memory, {"use_rnn": True}),
        (tiny_envs.Memory, {"use_rnn": True, "rnn_type": "lstm", "actor_critic_share_weights": False}),
        (tiny_envs.DictBandit, {}),
        (tiny_envs.Arm, {}),
        (tiny_envs.Lever, {"tanh_squash": True, "normalize_returns": True}),
    ],
    ids=["gru", "two lstms", "dict", "nested actions", "squashed"],
)
def test_the_module_plays_as_predict_does(env: Any, fields: dict[str, Any]) -> None:
    with small(env, **SERIAL, **fields) as model:
        model.train(256)
        policy = model.policy()
        playing = model.get_env()
        observation, _ = playing.reset(seed=1)
        state, memory, done = None, None, False
        while not done:
            action, state = model.predict(observation, state, deterministic=True)
            with torch.inference_mode():
                out = policy(tensors(observation), memory)
            memory = out.state
            assert same(action, out.action)
            assert (state is None) == (memory is None)
            assert state is None or np.allclose(state, memory.numpy(), atol=1e-6)
            observation, _, done, _, _ = playing.step(action)


def test_it_is_saved_by_torch_and_is_a_copy(tmp_path: Path) -> None:
    with small(tiny_envs.Memory, **SERIAL, use_rnn=True) as model:
        model.train(256)
        policy = model.policy()
        torch.save(policy, tmp_path / "policy.pt")
        obs, state = torch.rand(5, 2), torch.rand(5, policy.state_size)
        before = policy(obs, state)
        model.train(256)
        loaded = torch.load(tmp_path / "policy.pt", weights_only=False)
        for now in (policy(obs, state), loaded(obs, state)):
            assert torch.equal(now.params, before.params)
            assert torch.equal(now.state, before.state)
        assert not torch.equal(model.policy()(obs, state).params, before.params)
        assert not any(p.requires_grad for p in loaded.parameters())


def test_a_run_directory_has_its_policies(tmp_path: Path) -> None:
    with small(train_dir=str(tmp_path), experiment="r", **SERIAL) as model:
        model.train(512)
        present = model.policy()
        file = model.save(tmp_path / "other.pt")
    obs = torch.rand(3, 4)
    for checkpoint in ("latest", str(file)):
        policy = load_policy(tmp_path / "r", checkpoint)
        assert isinstance(policy, StandalonePolicy)
        assert torch.equal(policy(obs).params, present(obs).params)
    with pytest.raises(UserError, match="is not a run directory"):
        load_policy(tmp_path)
    with pytest.raises(UserError, match="choose best, latest, or a path"):
        load_policy(tmp_path / "r", "newest")
    with pytest.raises(UserError, match=r"^checkpoint: no file or folder 'bst'; .* Did you mean 'best'\?$"):
        load_policy(tmp_path / "r", "bst")
    with pytest.raises(UserError, match=r"^no directory .*/rr\. Did you mean '.*/r'\?$"):
        load_policy(tmp_path / "rr")
    for number in (1, -1):
        with pytest.raises(UserError, match=f"has no policy {number}: they are numbered from 0 to 0"):
            load_policy(tmp_path / "r", policy=number)


def test_a_policy_of_several_is_loaded_by_its_number(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"num_policies": 2, "policy_assignment": "random", "train_dir": str(tmp_path), "experiment": "r"}
    with small(**SERIAL, **fields) as model:
        model.train(512)
        present = model._trainer.models
        obs = torch.rand(3, 4)
        expected = [StandalonePolicy(network)(obs).params for network in present]
    for number in (0, 1):
        assert torch.equal(load_policy(tmp_path / "r", policy=number)(obs).params, expected[number])
    assert not torch.equal(*expected)


def test_observations_without_a_batch_axis_are_named() -> None:
    with small(**SERIAL) as model:
        policy = model.policy()
    with pytest.raises(ValueError, match=r"^observation 'obs' has shape \[4\], expected \[N, 4\]; .*: obs\[None\]$"):
        policy(torch.rand(4))
    with pytest.raises(ValueError, match=r"^observation 'obs' has shape \[2, 5\], expected \[N, 4\]$"):
        policy(torch.rand(2, 5))
