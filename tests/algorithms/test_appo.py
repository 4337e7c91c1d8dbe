"""The whole loss: what it is made of, masks, invalid rows, minibatches."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from arl_core.algorithms.appo import Appo
from arl_core.algorithms.base import Targets
from arl_core.algorithms.batch import TrainingBatch
from arl_core.algorithms.targets import vtrace
from arl_core.config import RunConfig
from arl_core.learning.staging import Staging
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.encoders import default_encoder

T, B = 6, 5
METRICS = {
    "policy_loss",
    "value_loss",
    "exploration_loss",
    "entropy",
    "kl",
    "clip_fraction",
    "explained_variance",
    "value_mean",
    "adv_std",
    "ratio_mean",
}


def make_model(cfg: RunConfig, has_mask: bool = True, num_actions: int = 3) -> ActorCritic:
    torch.manual_seed(1)
    keys: dict[str, spaces.Space[Any]] = {"x": spaces.Box(-1, 1, (4,))}
    if has_mask:
        keys["action_mask"] = spaces.Box(0, 1, (num_actions,), dtype="int8")
    return ActorCritic(spaces.Dict(keys), spaces.Discrete(num_actions), cfg, default_encoder)


def make_batch(model: ActorCritic, seed: int = 0) -> TrainingBatch:
    """On-policy rows from `model`, with endings, resets and masks."""
    torch.manual_seed(seed)
    obs = {"x": torch.randn(T + 1, B, 4)}
    if model.dist.num_actions_for_mask:
        mask = torch.rand(T + 1, B, model.dist.num_actions_for_mask) > 0.4
        mask[2, 1] = False
        obs["action_mask"] = mask.to(torch.int8)
    terminated, truncated = torch.rand(2, T, B) < 0.15
    valid = torch.ones(T, B, dtype=torch.bool)
    valid[1:] = ~(terminated | truncated)[:-1]
    state = torch.randn(B, model.state_size) if model.state_size else None
    with torch.no_grad():
        params, values = model.evaluate(obs, state, valid)
        masks = obs["action_mask"][:T] if "action_mask" in obs else None
        actions = model.dist.sample(params[:T], masks)
        log_probs = model.dist.log_prob(params[:T], actions, masks)
    return TrainingBatch(
        obs, actions, log_probs, values[:T], params[:T], torch.randn(T, B), terminated, truncated, valid, state
    )


def gradients(model: ActorCritic, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(model.parameters())))


@pytest.mark.parametrize("options", [{}, {"use_rnn": True}, {"with_vtrace": False}, {"actor_critic_share_weights": False}])
def test_on_policy_metrics(options: dict[str, Any]) -> None:
    cfg = RunConfig(**options)
    model = make_model(cfg)
    batch = make_batch(model)
    total, metrics = Appo().loss(model, batch, Appo().prepare(model, batch, cfg), cfg)
    assert set(metrics) == METRICS
    assert all(value.dim() == 0 and not value.requires_grad and value.isfinite() for value in metrics.values())
    assert metrics["ratio_mean"].item() == pytest.approx(1, abs=1e-5)
    assert metrics["kl"].item() == pytest.approx(0, abs=1e-6)
    assert metrics["clip_fraction"] == 0
    expected = (
        metrics["policy_loss"] + cfg.value_loss_coeff * metrics["value_loss"] - cfg.exploration_loss_coeff * metrics["entropy"]
    )
    torch.testing.assert_close(total.detach(), expected)
    quiet, nothing = Appo().loss(model, batch, Appo().prepare(model, batch, cfg), cfg, with_metrics=False)
    assert torch.equal(total, quiet)
    assert nothing == {}


def test_vtrace_uses_the_learners_values_on_every_row() -> None:
    cfg = RunConfig(normalize_advantages=False, reward_scale=0.5, reward_clip=0.6)
    model = make_model(cfg)
    batch = make_batch(model)
    batch.values = batch.values + 7.0
    _, metrics = Appo().loss(model, batch, None, cfg)
    params, values = model.evaluate(batch.obs, None, batch.valid)
    log_probs = model.dist.log_prob(params[:T], batch.actions, batch.action_mask)
    rewards = (batch.rewards * 0.5).clamp(-0.6, 0.6)
    endings = (batch.terminated, batch.truncated, batch.valid)
    advantages, targets = vtrace(log_probs, batch.log_probs, rewards, values, *endings, cfg.gamma, 1.0, 1.0)
    valid = batch.valid
    torch.testing.assert_close(metrics["policy_loss"], -advantages[valid].mean())
    clipped = batch.values + (values[:T] - batch.values).clamp(-1, 1)
    errors = torch.max((values[:T] - targets).square(), (clipped - targets).square())
    torch.testing.assert_close(metrics["value_loss"], errors[valid].mean().detach())


def test_prepare_gives_gae_of_shaped_rewards_or_nothing() -> None:
    cfg = RunConfig(with_vtrace=False, gae_lambda=0.0, reward_scale=2.0, reward_clip=1.0, gamma=0.5, ppo_epochs=2)
    model = make_model(cfg)
    batch = make_batch(model)
    targets = Appo().prepare(model, batch, cfg)
    assert targets is not None
    with torch.no_grad():
        _, values = model.evaluate(batch.obs, None, batch.valid)
    bootstrap = torch.where(batch.terminated, 0.0, values[1:])
    one_step = (batch.rewards * 2).clamp(-1, 1) + 0.5 * bootstrap
    torch.testing.assert_close(targets.returns[batch.valid], one_step[batch.valid])
    assert Appo().prepare(model, batch, RunConfig(ppo_epochs=2)) is None


def test_one_step_of_a_batch_takes_its_targets_from_its_own_forward_pass() -> None:
    """The same loss and gradient as with targets of a pass before it, which would cost a third of the step."""
    once = RunConfig(with_vtrace=False, gae_lambda=0.9, use_rnn=True, ppo_epochs=1)
    model = make_model(once)
    batch = make_batch(model)
    assert Appo().prepare(model, batch, once) is None
    prepared = [Appo().prepare(model, batch, once.model_copy(update=more)) for more in ({"ppo_epochs": 2}, {"batch_size": T})]
    gradients = []
    for targets in (None, *prepared):
        total, _ = Appo().loss(model, batch, targets, once)
        gradients.append(torch.autograd.grad(total, list(model.parameters())))
    for others in gradients[1:]:
        torch.testing.assert_close(others, gradients[0], rtol=0, atol=0)


def test_nothing_valid_gives_loss_zero_and_zero_gradients() -> None:
    cfg = RunConfig(kl_loss_coeff=0.1)
    model = make_model(cfg)
    batch = dataclasses.replace(make_batch(model), valid=torch.zeros(T, B, dtype=torch.bool))
    total, metrics = Appo().loss(model, batch, None, cfg)
    assert total == 0
    assert all((grad == 0).all() for grad in gradients(model, total))
    assert all(value.isfinite() for value in metrics.values())


def test_invalid_rows_weigh_nothing() -> None:
    cfg = RunConfig()
    model = make_model(cfg)
    batch = make_batch(model)
    before = gradients(model, Appo().loss(model, batch, None, cfg)[0])
    invalid = ~batch.valid
    assert invalid.any()
    batch.rewards[invalid] = torch.nan
    batch.log_probs[invalid] = -99.0
    batch.actions[invalid] = 0
    batch.values[invalid] = 1e6
    after = gradients(model, Appo().loss(model, batch, None, cfg)[0])
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


def test_the_mask_reaches_the_learner() -> None:
    """Trap 1: acting with a mask and evaluating without one makes ratio and entropy wrong."""
    cfg = RunConfig()
    model = make_model(cfg)
    batch = make_batch(model)
    _, masked = Appo().loss(model, batch, None, cfg)
    batch.obs = {"x": batch.obs["x"]}
    _, unmasked = Appo().loss(model, batch, None, cfg)
    assert masked["ratio_mean"].item() == pytest.approx(1, abs=1e-5)
    assert unmasked["ratio_mean"].item() < 0.95
    assert unmasked["entropy"] > masked["entropy"] + 0.1


def test_the_kl_coefficient_adds_the_kl() -> None:
    model = make_model(RunConfig(), has_mask=False)
    batch = make_batch(make_model(RunConfig(), has_mask=False))
    batch.params = batch.params + torch.randn_like(batch.params)
    plain, metrics = Appo().loss(model, batch, None, RunConfig())
    with_kl, _ = Appo().loss(model, batch, None, RunConfig(kl_loss_coeff=0.5), with_metrics=False)
    assert metrics["kl"] > 0.01
    torch.testing.assert_close(with_kl - plain, 0.5 * metrics["kl"])


@pytest.mark.parametrize("index", [torch.tensor([3, 0]), slice(1, 3)])
def test_columns_select_environments(index: Tensor | slice) -> None:
    cfg = RunConfig(use_rnn=True, with_vtrace=False, normalize_advantages=False, ppo_epochs=2)
    model = make_model(cfg)
    batch = make_batch(model)
    batch.bonus, batch.returns = torch.randn(2, *batch.rewards.shape)
    targets = Appo().prepare(model, batch, cfg)
    part = batch.columns(index)
    fields = [field.name for field in dataclasses.fields(batch) if field.name not in {"obs", "rnn_state", "storage"}]
    assert all(torch.equal(getattr(part, name), getattr(batch, name)[:, index]) for name in fields)
    assert torch.equal(part.obs["x"], batch.obs["x"][:, index])
    assert part.rnn_state is not None
    assert batch.rnn_state is not None
    assert torch.equal(part.rnn_state, batch.rnn_state[index])
    assert targets is not None
    fresh = Appo().prepare(model, part, cfg)
    assert fresh is not None
    torch.testing.assert_close(targets.columns(index).advantages, fresh.advantages)


def test_a_batch_moves_whole() -> None:
    batch = make_batch(make_model(RunConfig(use_rnn=True)))
    batch.bonus, batch.returns = torch.zeros(2, *batch.rewards.shape)
    moved = batch.to(torch.device("meta"))
    assert moved.rnn_state is not None
    whole = {field.name for field in dataclasses.fields(batch)} - {"obs", "rnn_state", "storage"}
    tensors = [*moved.obs.values(), moved.rnn_state, *(getattr(moved, name) for name in whole)]
    assert len(tensors) == 13
    assert all(tensor.device.type == "meta" for tensor in tensors)


def test_one_copy_moves_a_batch_that_lies_in_one_piece() -> None:
    batch = make_batch(make_model(RunConfig(use_rnn=True)))
    names = [field.name for field in dataclasses.fields(batch) if field.name not in {"obs", "bonus", "returns", "storage"}]
    arrays = {name: getattr(batch, name).numpy() for name in names} | {
        f"obs.{key}": rows.numpy() for key, rows in batch.obs.items()
    }
    staging = Staging({name: (array.shape, array.dtype) for name, array in arrays.items()}, pinned=False)
    for name, array in arrays.items():
        staging.arrays[name][...] = array
    views = {name: staging.tensors[name] for name in names}
    staged = TrainingBatch({"x": staging.tensors["obs.x"]}, **views, bonus=torch.ones(T, B), storage=staging.storage)
    staged.values = staged.params[..., -1]  # a view with strides of its own
    moved = staged.to(torch.device("cpu"))
    staging.storage.zero_()
    assert torch.equal(moved.values, batch.params[..., -1])
    assert torch.equal(moved.obs["x"], batch.obs["x"])
    assert moved.bonus is not None
    for name in set(names) - {"values"}:
        assert torch.equal(getattr(moved, name), torch.from_numpy(arrays[name])), name
    inside = {getattr(moved, name).untyped_storage().data_ptr() for name in names}
    assert len(inside) == 1
    assert inside != {staging.storage.untyped_storage().data_ptr()}


# --------------------------------------------------------------------------- exploration


@pytest.mark.parametrize("exploration_loss", ["entropy", "symmetric_kl"])
@pytest.mark.parametrize("has_mask", [True, False])
def test_exploration_alone_makes_the_policy_uniform_over_allowed_actions(exploration_loss: str, has_mask: bool) -> None:
    cfg = RunConfig(exploration_loss=exploration_loss, exploration_loss_coeff=1.0, value_loss_coeff=0.0, reward_scale=1e-9)
    model = make_model(cfg, has_mask)
    with torch.no_grad():
        model.actor.head.weight.normal_(std=0.3)
    batch = make_batch(model)
    batch.rewards.zero_()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    first = None
    for _ in range(150):
        optimiser.zero_grad()
        targets = Targets(torch.zeros(T, B), batch.values)
        total, metrics = Appo().loss(model, batch, targets, cfg.model_copy(update={"normalize_advantages": False}))
        first = metrics if first is None else first
        total.backward()
        optimiser.step()
    with torch.no_grad():
        params, _ = model.evaluate(batch.obs, batch.rnn_state, batch.valid)
        probs = model.dist._log_probs(params[:T], batch.action_mask).exp()[batch.valid]
    assert first is not None
    uniform = torch.full_like(probs, 1 / 3)
    if batch.action_mask is not None:
        mask = batch.action_mask[batch.valid].float()
        mask[mask.sum(-1) == 0] = 1.0
        uniform = mask / mask.sum(-1, keepdim=True)
    assert (probs - uniform).abs().max() < 0.06
    assert metrics["exploration_loss"] < first["exploration_loss"]
    assert exploration_loss == "entropy" or -1e-6 < metrics["exploration_loss"] < 0.01


def test_continuous_actions_are_explored_by_entropy_whatever_is_said() -> None:
    torch.manual_seed(0)
    space, actions = spaces.Dict({"x": spaces.Box(-1, 1, (4,))}), spaces.Box(-1, 1, (2,))
    losses = []
    for name in ("entropy", "symmetric_kl"):
        cfg = RunConfig(exploration_loss=name, exploration_loss_coeff=0.5)
        torch.manual_seed(1)
        model = ActorCritic(space, actions, cfg, default_encoder)
        losses.append(Appo().loss(model, make_batch(model), None, cfg)[0].item())
    assert losses[0] == losses[1]
