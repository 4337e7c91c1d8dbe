from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from arl_core.algorithms.appo import Appo
from arl_core.algorithms.impala import Impala
from arl_core.interfaces import UserError
from arl_core.learning.learner import LIVE_HYPERPARAMETERS, LearnerFault


class NaiveLearner:
    """The same update with PyTorch's own parts: a plain Adam over the separate parameters, `clip_grad_norm_`."""

    def __init__(self, school: Any) -> None:
        self.cfg = school.cfg
        self.model = school.recipe.build()
        cfg = self.cfg
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=cfg.learning_rate, betas=(cfg.adam_beta1, cfg.adam_beta2), eps=cfg.adam_eps
        )
        self.shuffle = torch.Generator()
        self.shuffle.manual_seed(cfg.seed)
        self.norms: list[float] = []

    def train(self, batch: Any) -> None:
        cfg = self.cfg
        rows = {key: value[:-1].flatten(0, 1) for key, value in batch.obs.items()}
        valid = batch.valid.flatten()
        targets = Appo().prepare(self.model, batch, cfg)
        horizon, columns = batch.rewards.shape
        size = cfg.batch_size // cfg.rollout
        if targets is not None and not cfg.use_rnn and size < columns:  # each transition is a trajectory of its own
            size, columns = cfg.batch_size, horizon * columns
            batch, targets = self.cut(batch, columns), type(targets)(*(x.reshape(1, columns) for x in vars_of(targets)))
        for _ in range(cfg.ppo_epochs):
            order = torch.randperm(columns, generator=self.shuffle) if size < columns else torch.arange(columns)
            for begin in range(0, columns, size):
                piece = order[begin : begin + size]
                self.step(batch.columns(piece), None if targets is None else targets.columns(piece))
        self.model.preprocess.update(rows, valid)

    @staticmethod
    def cut(batch: Any, count: int) -> Any:
        """[1, T * B] by hand."""
        parts = {name: getattr(batch, name) for name in ("actions", "log_probs", "values", "params", "rewards")}
        parts |= {name: getattr(batch, name) for name in ("terminated", "truncated", "valid")}
        obs = {key: rows[:-1].reshape(1, count, *rows.shape[2:]) for key, rows in batch.obs.items()}
        return type(batch)(obs=obs, **{name: rows.reshape(1, count, *rows.shape[2:]) for name, rows in parts.items()})

    def step(self, batch: Any, targets: Any) -> None:
        self.optimizer.zero_grad()
        Appo().loss(self.model, batch, targets, self.cfg)[0].backward()
        limit = self.cfg.max_grad_norm or math.inf
        self.norms.append(float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)))
        self.optimizer.step()


def vars_of(targets: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return targets.advantages, targets.returns


def state_of(model: Any) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "options",
    [
        {"max_grad_norm": 0.05},
        {"max_grad_norm": 0.0},
        {"with_vtrace": False, "ppo_epochs": 3, "num_batches_per_iteration": 4, "max_grad_norm": 0.5},
        {"with_vtrace": False, "use_rnn": True, "ppo_epochs": 2, "num_batches_per_iteration": 2},
        {"with_vtrace": True, "ppo_epochs": 2, "num_batches_per_iteration": 2, "kl_loss_coeff": 0.1},
        {"use_rnn": True, "actor_critic_share_weights": False},
        {"adam_beta1": 0.5, "adam_beta2": 0.9, "adam_eps": 1e-3, "learning_rate": 1e-2},
    ],
)
def test_updates_are_those_of_a_naive_learner(make_school: Any, options: dict[str, Any]) -> None:
    school = make_school(**options)
    naive = NaiveLearner(school)
    columns = school.cfg.batch_size * school.cfg.num_batches_per_iteration // school.cfg.rollout
    first = state_of(school.learner.model)
    for seed in range(4):
        school.train(seed, with_metrics=True)
        naive.train(school.batch(seed, columns))
        assert math.isclose(school.learner.metrics["grad_norm"], naive.norms[-1], rel_tol=1e-3)
    for key, value in naive.model.state_dict().items():
        torch.testing.assert_close(school.learner.model.state_dict()[key], value, rtol=1e-4, atol=1e-5)
        assert not torch.equal(first[key], value), f"{key} was not trained"
    if school.cfg.max_grad_norm:
        assert max(naive.norms) > school.cfg.max_grad_norm or school.cfg.max_grad_norm == 4.0
    assert school.learner.version == 4 * school.cfg.ppo_epochs * school.cfg.num_batches_per_iteration


def test_minibatches_of_known_targets_are_drawn_from_all_transitions(make_school: Any) -> None:
    """Each transition once in a pass, whatever trajectory it is from; and a minibatch may be shorter than a trajectory."""
    school = make_school(with_vtrace=False, rollout=16, batch_size=8, num_batches_per_iteration=8, ppo_epochs=2)
    seen: list[torch.Tensor] = []
    loss = school.learner.algorithm.loss

    def looked_at(model: Any, batch: Any, targets: Any, *rest: Any, **options: Any) -> Any:
        assert batch.rewards.shape == batch.valid.shape == targets.returns.shape == (1, 8)
        assert batch.obs["obs"].shape == (1, 8, 6)
        seen.append(batch.obs["obs"][0, :, 0])
        return loss(model, batch, targets, *rest, **options)

    school.learner.algorithm.loss = looked_at
    batch = school.batch(0, columns=4)
    school.learner.train(batch, int(batch.valid.sum()), with_metrics=False)
    assert school.learner.version == len(seen) == 2 * 8
    whole = batch.obs["obs"][:-1, :, 0].flatten().sort().values
    for drawn in (torch.cat(seen[:8]), torch.cat(seen[8:])):
        assert torch.equal(drawn.sort().values, whole)
    assert not torch.equal(torch.cat(seen[:8]), torch.cat(seen[8:]))


def test_what_trains_on_trajectories_wants_whole_ones(make_school: Any) -> None:
    with pytest.raises(ValidationError, match=r"batch_size \(8\) must be a multiple of rollout \(16\)"):
        make_school(rollout=16, batch_size=8, num_batches_per_iteration=8)
    with pytest.raises(ValidationError, match=r"num_batches_per_iteration \(24\) must be a multiple of rollout \(16\)"):
        make_school(with_vtrace=False, rollout=16, batch_size=8, num_batches_per_iteration=3)
    school = make_school(with_vtrace=False, rollout=16, batch_size=8, num_batches_per_iteration=8)
    school.learner.algorithm = Impala()  # has no targets beforehand, whatever with_vtrace says
    with pytest.raises(UserError, match="trains on whole trajectories"):
        school.learner.train(school.batch(0, columns=4), 1, with_metrics=False)


def test_every_update_is_published_with_its_statistics(make_school: Any) -> None:
    school = make_school()
    learner = school.learner
    learner.publish()
    assert school.published()[0] == 0
    school.train(0)
    version, content = school.published()
    assert version == learner.version == 1
    other = make_school(seed=7)
    other.learner.flat.read_from(content)
    for key, value in learner.model.state_dict().items():
        assert torch.equal(other.learner.model.state_dict()[key], value), key
    assert any("mean" in key and bool(value.any()) for key, value in learner.model.state_dict().items()), "normalisers too"
    assert learner.frames == int(school.batch(0).valid.sum())


def test_every_optimiser_step_shows_that_the_learner_lives(make_school: Any) -> None:
    school = make_school(ppo_epochs=3, num_batches_per_iteration=2)
    seen: list[int] = []
    school.learner.beat = lambda: seen.append(school.learner.version)
    school.train(0)
    assert seen == list(range(1, 3 * 2 + 1))


def test_metrics_are_read_only_where_they_are_wanted(make_school: Any) -> None:
    school = make_school()
    school.train(0)
    assert school.learner.metrics == {}
    school.train(1, with_metrics=True)
    metrics = school.learner.metrics
    assert {"policy_loss", "value_loss", "entropy", "kl", "grad_norm", "learning_rate"} <= set(metrics)
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    before = dict(metrics)
    school.train(2)
    assert school.learner.metrics == before


# --------------------------------------------------------------------------- hyperparameters


def test_hyperparameters_reach_optimiser_and_targets(make_school: Any) -> None:
    changed, plain, fresh = make_school(), make_school(), make_school(learning_rate=3e-3, gamma=0.5, max_grad_norm=0.01)
    for school in (changed, plain):
        school.train(0)
    fresh.learner.load_state_dict(changed.learner.state_dict())
    changed.learner.set_hyperparameters({"learning_rate": 3e-3, "gamma": 0.5, "max_grad_norm": 0.01})
    for school in (changed, plain, fresh):
        school.train(1, with_metrics=True)
    assert changed.learner.metrics["learning_rate"] == 3e-3
    assert not torch.equal(changed.learner.flat.params, plain.learner.flat.params)
    assert torch.equal(changed.learner.flat.params, fresh.learner.flat.params)


def test_live_hyperparameters_are_fields_of_the_configuration(make_school: Any) -> None:
    assert set(type(make_school().cfg).model_fields) >= LIVE_HYPERPARAMETERS


def test_a_linear_schedule_falls_to_zero_with_the_frames(make_school: Any) -> None:
    school = make_school(lr_schedule="linear", learning_rate=1e-2, train_for_env_steps=60)
    rates = []
    for seed in range(4):
        left = max(1.0 - school.learner.frames / 60, 0.0)
        before = state_of(school.learner.model)
        school.train(seed, with_metrics=True)
        rates.append(school.learner.metrics["learning_rate"])
        assert math.isclose(rates[-1], 1e-2 * left, rel_tol=1e-9)
        if left == 0.0:
            parameters = dict(school.learner.model.named_parameters())
            assert all(torch.equal(before[key], value) for key, value in parameters.items())
    assert rates[0] == 1e-2
    assert rates[0] > rates[1] > rates[-1] == 0.0


@pytest.mark.parametrize("options", [{"shuffle_minibatches": False}, {}])
def test_minibatches_in_which_nothing_is_valid_make_no_step(options: dict[str, Any], make_school: Any) -> None:
    """Agents that are out of the game: neither Adam's momentum nor a KL divergence of 0 may move anything."""
    school = make_school(batch_size=4, rollout=4, num_batches_per_iteration=8, ppo_epochs=2, **options)
    school.learner.train(school.batch(0, 8), 1, with_metrics=False)
    batch = school.batch(1, 8)
    batch.valid[:, [0, 2, 3, 5, 6, 7]] = False
    batch.terminated &= batch.valid
    batch.truncated &= batch.valid
    before = school.learner.version
    school.learner.train(batch, int(batch.valid.sum()), with_metrics=True)
    assert school.learner.version - before == 2 * 2  # minibatches, each a column, in two epochs


# --------------------------------------------------------------------------- faults


@pytest.mark.parametrize("where", ["rewards", "obs"])
def test_a_gradient_that_is_not_finite_stops_the_learner_before_the_weights(make_school: Any, where: str) -> None:
    school = make_school()
    school.train(0)
    weights, version, frames = state_of(school.learner.model), school.learner.version, school.learner.frames
    published, content = school.published()
    batch = school.batch(1)
    batch.valid[:] = True
    if where == "rewards":
        batch.rewards[1, 2] = float("nan")
    else:
        batch.obs["obs"][0, 0, 0] = float("nan")
    with pytest.raises(LearnerFault, match=rf"gradient is not finite at optimiser step {version} \(loss nan\)"):
        school.learner.train(batch, 5, with_metrics=False)
    for key, value in school.learner.model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert (school.learner.version, school.learner.frames) == (version, frames)
    assert school.published()[0] == published
    assert torch.equal(school.published()[1], content)


def test_weights_that_are_not_finite_are_not_saved(make_school: Any) -> None:
    school = make_school()
    with torch.no_grad():
        next(school.learner.model.parameters()).view(-1)[0] = float("inf")
    with pytest.raises(LearnerFault, match="the weights are not finite and were not saved"):
        school.learner.state_dict()


def test_a_batch_without_one_valid_frame_does_nothing(make_school: Any) -> None:
    school = make_school()
    school.train(0)  # Adam has momentum now
    batch = school.batch(0)
    batch.valid[:] = False
    before = state_of(school.learner.model)
    school.learner.train(batch, 0, with_metrics=True)
    for key, value in school.learner.model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert school.published()[0] == school.learner.version == 1


# --------------------------------------------------------------------------- states and weights


OPTIONS = {"ppo_epochs": 2, "num_batches_per_iteration": 2, "lr_schedule": "linear"}


def test_a_saved_learner_goes_on_bit_for_bit(make_school: Any) -> None:
    school, other = make_school(**OPTIONS), make_school(**OPTIONS)
    for seed in range(3):
        school.train(seed)
    saved = school.learner.state_dict()
    for seed in (7, 8):
        other.train(seed)  # goes elsewhere first
    version = other.learner.version
    school_version = school.learner.version
    other.learner.load_state_dict(saved)
    assert other.learner.frames == school.learner.frames
    assert other.learner.version == max(school_version, version + 1)
    assert other.published()[0] == other.learner.version
    assert torch.equal(other.published()[1], school.published()[1]), "what is loaded acts at once"
    for seed in (3, 4):
        for each in (school, other):
            each.train(seed, with_metrics=True)
        assert torch.equal(school.learner.flat.params, other.learner.flat.params)
    assert other.learner.metrics == school.learner.metrics
    for key, value in school.learner.model.state_dict().items():
        assert torch.equal(value, other.learner.model.state_dict()[key]), key


def test_a_state_is_of_tensors_of_its_own(make_school: Any) -> None:
    school = make_school()
    school.train(0)
    saved = school.learner.state_dict()
    before = {key: value.clone() for key, value in saved["model"].items()}
    moments = {key: value.clone() for key, value in saved["optimizer"].items()}
    assert set(moments) == {"step", "exp_avg", "exp_avg_sq"}
    school.train(1)
    assert all(torch.equal(saved["model"][key], value) for key, value in before.items())
    assert all(torch.equal(saved["optimizer"][key], value) for key, value in moments.items())
    other = make_school()
    other.learner.load_state_dict(saved)
    other.train(1)
    assert all(torch.equal(saved["optimizer"][key], value) for key, value in moments.items()), "nor by who loads it"


def test_a_state_before_the_first_step_is_one_too(make_school: Any) -> None:
    school, other = make_school(seed=3), make_school(seed=3)
    school.train(5)
    school.learner.load_state_dict(other.learner.state_dict())
    assert school.learner.frames == 0
    for each in (school, other):
        each.train(0)
    assert torch.equal(school.learner.flat.params, other.learner.flat.params)


def test_weights_from_outside_act_at_once_and_the_optimiser_starts_anew(make_school: Any) -> None:
    school, source = make_school(), make_school(seed=9)
    for seed in range(3):
        school.train(seed)
    source.train(0)
    weights = torch.empty(source.learner.flat.nbytes, dtype=torch.uint8)
    source.learner.flat.write_to(weights)
    frames = school.learner.frames
    school.learner.load_weights(weights)
    assert school.learner.version == 4
    assert school.learner.frames == frames
    version, content = school.published()
    assert version == 4
    assert torch.equal(content, weights)
    fresh = make_school()
    fresh.learner.flat.read_from(weights)
    for each in (school, fresh):
        each.train(1)
    assert torch.equal(school.learner.flat.params, fresh.learner.flat.params)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"use_rnn": True, "rnn_type": "lstm", "recurrence": 2}, {"with_vtrace": False, "ppo_epochs": 2}]
)
def test_a_compiled_network_trains_as_the_plain_one(make_school: Any, options: dict[str, Any]) -> None:
    plain, compiled = make_school(**options), make_school(**options, torch_compile=True)
    for seed in range(3):
        plain.train(seed)
        compiled.train(seed)
    torch.testing.assert_close(compiled.learner.flat.params, plain.learner.flat.params, rtol=1e-5, atol=1e-6)
    assert compiled.learner.state_dict()["model"].keys() == plain.learner.state_dict()["model"].keys()
