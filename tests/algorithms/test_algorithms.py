"""What tells the algorithms apart, shown on gradients: each against the formula of its paper, written out by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from arl_core import A3C, APPO, IMPALA
from arl_core.algorithms.a3c import A3c
from arl_core.algorithms.appo import Appo
from arl_core.algorithms.base import shape_rewards
from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.impala import Impala
from arl_core.config import Layer, RunConfig
from arl_core.interfaces import UserError
from arl_core.registry import resolve_run

_spec = importlib.util.spec_from_file_location("appo_support", Path(__file__).with_name("test_appo.py"))
assert _spec is not None
assert _spec.loader is not None
support = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(support)
T, B = support.T, support.B

PLAIN = {"normalize_advantages": False, "exploration_loss_coeff": 0.0, "value_loss_coeff": 0.0}


def off_policy(batch: TrainingBatch) -> TrainingBatch:
    """The same actions, as if another policy had chosen them."""
    torch.manual_seed(5)
    batch.log_probs = batch.log_probs + 0.7 * torch.randn_like(batch.log_probs)
    return batch


def gradient(algorithm: Any, model: Any, batch: TrainingBatch, cfg: RunConfig) -> Tensor:
    targets = algorithm.prepare(model, batch, cfg)
    total, _ = algorithm.loss(model, batch, targets, cfg, with_metrics=False)
    parts = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


def naive_returns(batch: TrainingBatch, values: Tensor, cfg: RunConfig) -> Tensor:
    """n-step returns to the end of the rollout or episode (Mnih et al. 2016, algorithm S3), one row at a time."""
    rewards = shape_rewards(batch, cfg).numpy()
    terminated, truncated, valid = batch.terminated.numpy(), batch.truncated.numpy(), batch.valid.numpy()
    v = values.detach().numpy()
    out = np.zeros((T, B), np.float32)
    for b in range(B):
        for start in range(T):
            if not valid[start, b]:
                out[start, b] = v[start, b]
                continue
            total, discount, t = 0.0, 1.0, start
            while True:
                total += discount * rewards[t, b]
                discount *= cfg.gamma
                if terminated[t, b]:
                    break
                if truncated[t, b] or t == T - 1:
                    total += discount * v[t + 1, b]
                    break
                t += 1
            out[start, b] = total
    return torch.from_numpy(out)


def policy_gradient(model: Any, batch: TrainingBatch, weight: Tensor) -> Tensor:
    """d/dtheta of -mean log pi(a) weight, over valid entries."""
    params, _ = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
    log_probs = model.dist.log_prob(params[:T], batch.actions, batch.action_mask)
    total = -(log_probs * weight)[batch.valid].mean()
    parts = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


@pytest.mark.parametrize("has_lag", [False, True])
def test_a3c_is_the_advantage_actor_critic_gradient_and_knows_no_importance(has_lag: bool) -> None:
    cfg = RunConfig(with_vtrace=False, gae_lambda=1.0, **PLAIN)
    model = support.make_model(cfg)
    batch = support.make_batch(model)
    batch = off_policy(batch) if has_lag else batch
    _, values = model.evaluate(batch.obs, None, batch.valid)
    advantages = naive_returns(batch, values, cfg) - values[:T].detach()
    torch.testing.assert_close(gradient(A3c(), model, batch, cfg), policy_gradient(model, batch, advantages))


@pytest.mark.parametrize("has_lag", [False, True])
def test_impala_is_the_vtrace_policy_gradient(has_lag: bool) -> None:
    cfg = RunConfig(vtrace_rho=0.9, vtrace_c=0.8, **PLAIN)
    model = support.make_model(cfg)
    batch = support.make_batch(model)
    batch = off_policy(batch) if has_lag else batch
    with torch.no_grad():
        params, values = model.evaluate(batch.obs, None, batch.valid)
        log_probs = model.dist.log_prob(params[:T], batch.actions, batch.action_mask)
    weight = naive_vtrace_advantages(batch, log_probs.numpy(), values.numpy(), cfg)
    torch.testing.assert_close(gradient(Impala(), model, batch, cfg), policy_gradient(model, batch, weight))


def naive_vtrace_advantages(batch: TrainingBatch, log_probs: Any, values: Any, cfg: RunConfig) -> Tensor:
    """rho_s (r_s + gamma v_{s+1} - V(x_s)) with v of eq. 1, by its sum of products, no recursion."""
    ratio = np.exp(log_probs - batch.log_probs.numpy())
    rho, c = np.minimum(ratio, cfg.vtrace_rho), np.minimum(ratio, cfg.vtrace_c)
    rewards = shape_rewards(batch, cfg).numpy()
    ended = (batch.terminated | batch.truncated).numpy()
    valid, terminated = batch.valid.numpy(), batch.terminated.numpy()

    def delta(t: int, b: int) -> float:
        bootstrap = 0.0 if terminated[t, b] else values[t + 1, b]
        return float(rho[t, b] * (rewards[t, b] + cfg.gamma * bootstrap - values[t, b])) if valid[t, b] else 0.0

    def target(s: int, b: int) -> float:
        total = float(values[s, b])
        for t in range(s, T):
            product = np.prod([cfg.gamma * c[i, b] for i in range(s, t)])
            if any(ended[i, b] or not valid[i, b] for i in range(s, t)):
                break
            total += float(product) * delta(t, b)
        return total

    out = np.zeros((T, B), np.float32)
    for b in range(B):
        for s in range(T):
            if not valid[s, b]:
                continue
            if terminated[s, b]:
                following = 0.0
            elif truncated_or_last(batch, s, b):
                following = float(values[s + 1, b])
            else:
                following = target(s + 1, b)
            out[s, b] = rho[s, b] * (rewards[s, b] + cfg.gamma * following - values[s, b])
    return torch.from_numpy(out)


def truncated_or_last(batch: TrainingBatch, s: int, b: int) -> bool:
    return bool(batch.truncated[s, b]) or s == T - 1


def test_on_policy_appo_impala_and_a3c_agree_where_they_should() -> None:
    cfg = RunConfig(normalize_advantages=False, ppo_clip_value=1e6)
    model = support.make_model(cfg)
    batch = support.make_batch(model)
    torch.testing.assert_close(gradient(Appo(), model, batch, cfg), gradient(Impala(), model, batch, cfg))
    n_step = cfg.model_copy(update={"with_vtrace": False, "gae_lambda": 1.0})
    # on-policy, V-trace is the n-step return (Espeholt et al. 2018, remark 1)
    one, other = gradient(A3c(), model, batch, n_step), gradient(Impala(), model, batch, cfg)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_off_policy_they_differ() -> None:
    cfg = RunConfig(normalize_advantages=False)
    model = support.make_model(cfg)
    batch = off_policy(support.make_batch(model))
    n_step = cfg.model_copy(update={"with_vtrace": False, "gae_lambda": 1.0})
    found = [gradient(Appo(), model, batch, cfg), gradient(Impala(), model, batch, cfg), gradient(A3c(), model, batch, n_step)]
    for i, one in enumerate(found):
        for other in found[i + 1 :]:
            assert (one - other).norm() > 0.05 * one.norm()


def test_impala_has_vtrace_targets_whatever_with_vtrace_says() -> None:
    cfg = RunConfig(with_vtrace=False)
    model = support.make_model(cfg)
    assert Impala().prepare(model, support.make_batch(model), cfg) is None


def test_an_intrinsic_reward_is_added_unscaled() -> None:
    batch = support.make_batch(support.make_model(RunConfig()))
    before = batch.rewards.clone()
    batch.bonus = torch.full_like(batch.rewards, 0.25)
    cfg = RunConfig(reward_scale=0.5, reward_clip=0.1)
    torch.testing.assert_close(shape_rewards(batch, cfg), (before * 0.5).clamp(-0.1, 0.1) + 0.25)
    assert torch.equal(batch.rewards, before)


@pytest.mark.parametrize(
    ("kind", "algo", "expected"),
    [
        (APPO, "appo", {"with_vtrace": True, "gae_lambda": 0.95}),
        (IMPALA, "impala", {"with_vtrace": True, "ppo_epochs": 1}),
        (A3C, "a3c", {"with_vtrace": False, "gae_lambda": 1.0, "ppo_epochs": 1}),
    ],
)
def test_classes_are_presets_below_what_a_user_sets(kind: type[APPO], algo: str, expected: dict[str, Any]) -> None:
    with kind("gym:CartPole-v1") as model:
        assert model.config.algo == algo
        if algo != "appo":  # CartPole's own defaults are for APPO alone
            assert {name: getattr(model.config, name) for name in expected} == expected
    with kind("gym:CartPole-v1", policy_kwargs={"gae_lambda": 0.5, "ppo_epochs": 3}) as model:
        assert (model.config.gae_lambda, model.config.ppo_epochs) == (0.5, 3)
    resolved, _ = resolve_run(Layer("command line", {"env": "gym:MountainCar-v0", "algo": algo}))
    assert {name: getattr(resolved.config, name) for name in expected} == expected
    if algo != "appo":
        assert resolved.origin("ppo_epochs") == f"algorithm {algo}"


def test_an_unknown_algorithm_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no algorithm 'impalla'. Did you mean 'impala'\?"):
        APPO("gym:CartPole-v1", policy_kwargs={"algo": "impalla"})
