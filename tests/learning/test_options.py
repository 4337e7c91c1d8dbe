"""What the learner's options do to its updates: schedules, optimisers, minibatches, normalised returns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from arl_core.algorithms.base import Targets
from arl_core.algorithms.impala import Impala
from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.learning.optimizers import FlatAdam, FlatRmsProp
from arl_core.learning.schedules import LearningRate

# --------------------------------------------------------------------------- learning-rate schedules


def rates(schedule: str, kls: list[float], **options: Any) -> list[float]:
    """The rate after each step, two steps an epoch."""
    rate = LearningRate(RunConfig(lr_schedule=schedule, learning_rate=1e-3, lr_schedule_kl_threshold=0.01, **options))
    seen = []
    for step, kl in enumerate(kls):
        rate.begin_step(0.0)
        rate.after_step({"kl": torch.tensor(kl)})
        if step % 2:
            rate.after_epoch()
        seen.append(rate.value)
    return seen


def test_the_rate_falls_above_twice_the_threshold_and_rises_below_half_of_it() -> None:
    assert rates("kl_adaptive_minibatch", [0.021, 0.019, 0.006, 0.004]) == pytest.approx(
        [1e-3 / 1.5, 1e-3 / 1.5, 1e-3 / 1.5, 1e-3]
    )


def test_by_epoch_the_mean_of_its_steps_decides() -> None:
    assert rates("kl_adaptive_epoch", [0.0, 0.05, 0.0, 0.03, 0.004, 0.001]) == pytest.approx(
        [1e-3, 1e-3 / 1.5, 1e-3 / 1.5, 1e-3 / 1.5, 1e-3 / 1.5, 1e-3]
    )


def test_the_rate_stays_within_its_bounds() -> None:
    assert rates("kl_adaptive_minibatch", [1.0] * 9, lr_adaptive_min=5e-4)[-1] == 5e-4
    assert rates("kl_adaptive_minibatch", [0.0] * 9, lr_adaptive_max=2e-3)[-1] == 2e-3
    with pytest.raises(ValueError, match=r"lr_adaptive_min \(0\.1\) is more than lr_adaptive_max \(0\.01\)"):
        RunConfig(lr_adaptive_min=0.1)


def test_a_rate_goes_on_only_under_the_schedule_that_led_to_it() -> None:
    adaptive, linear, constant = (
        LearningRate(RunConfig(lr_schedule=name)) for name in ("kl_adaptive_epoch", "linear", "constant")
    )
    adaptive.value = linear.value = 1e-7
    start = constant.value
    for ended in (adaptive, linear):
        constant.load_state_dict(ended.state_dict())
        assert constant.value == start > 1e-7
    same = LearningRate(RunConfig(lr_schedule="kl_adaptive_epoch"))
    same.load_state_dict(adaptive.state_dict())
    assert same.value == 1e-7


def test_an_algorithm_without_kl_is_told_so() -> None:
    rate = LearningRate(RunConfig(lr_schedule="kl_adaptive_minibatch"))
    with pytest.raises(UserError, match="needs the metric 'kl', which this algorithm does not report"):
        rate.after_step({})


@pytest.mark.parametrize("schedule", ["kl_adaptive_minibatch", "kl_adaptive_epoch"])
def test_a_learner_obeys_the_kl_of_its_own_batches_and_resumes_exactly(make_school: Any, schedule: str) -> None:
    options = {"lr_schedule": schedule, "learning_rate": 2e-3, "ppo_epochs": 2, "num_batches_per_iteration": 2}
    school, other = make_school(**options), make_school(**options)
    for seed in range(3):  # the random behaviour policy is far from the learner's: every KL is large
        school.train(seed, with_metrics=True)
        assert school.learner.metrics["kl"] > 2 * school.cfg.lr_schedule_kl_threshold
    changes = 3 * 4 if schedule == "kl_adaptive_minibatch" else 3 * 2
    assert math.isclose(school.learner.learning_rate.value, 2e-3 / 1.5**changes, rel_tol=1e-9)
    other.learner.load_state_dict(school.learner.state_dict())
    for each in (school, other):
        each.train(5, with_metrics=True)
    assert torch.equal(school.learner.flat.params, other.learner.flat.params)
    assert school.learner.metrics["learning_rate"] == other.learner.metrics["learning_rate"] < 2e-3 / 1.5**changes


def test_setting_the_rate_wins_over_the_adapted_one_and_setting_others_does_not(make_school: Any) -> None:
    school = make_school(lr_schedule="kl_adaptive_minibatch")
    school.train(0)
    adapted = school.learner.learning_rate.value
    school.learner.set_hyperparameters({"gamma": 0.9})
    assert school.learner.learning_rate.value == adapted != school.cfg.learning_rate
    school.learner.set_hyperparameters({"learning_rate": 5e-3})
    school.train(1, with_metrics=True)
    assert school.learner.metrics["learning_rate"] == 5e-3


def test_a_rate_that_is_configured_anew_wins_over_the_saved_one(make_school: Any) -> None:
    school, other = (
        make_school(lr_schedule="kl_adaptive_epoch"),
        make_school(lr_schedule="kl_adaptive_epoch", learning_rate=1e-3),
    )
    school.train(0)
    other.learner.load_state_dict(school.learner.state_dict())
    assert other.learner.learning_rate.value == 1e-3


# --------------------------------------------------------------------------- optimisers


def flat_and_torch(flat_kind: Any, torch_kind: Any, flat_options: dict[str, Any], torch_options: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, generator=generator)
    params, grads, reference = start.clone(), torch.zeros(50), start.clone().requires_grad_()
    flat = flat_kind(params, grads, lr=1e-2, **flat_options)
    theirs = torch_kind([reference], lr=1e-2, **torch_options)
    for step in range(20):
        gradient = torch.randn(50, generator=generator) * (0.01 if step % 3 else 3.0)
        flat.lr = theirs.param_groups[0]["lr"] = 1e-2 / (1 + step)
        grads.copy_(gradient)
        reference.grad = gradient.clone()
        flat.step()
        theirs.step()
        if step == 10:  # through a checkpoint
            state = flat.state_dict()
            flat.reset()
            flat.load_state_dict(state)
    torch.testing.assert_close(params, reference.detach(), rtol=1e-5, atol=1e-7)
    assert not torch.allclose(params, start)


@pytest.mark.parametrize(("alpha", "eps", "momentum"), [(0.99, 0.01, 0.0), (0.9, 1e-8, 0.0), (0.99, 0.1, 0.9)])
def test_rmsprop_is_torchs(alpha: float, eps: float, momentum: float) -> None:
    options = {"alpha": alpha, "eps": eps, "momentum": momentum}
    flat_and_torch(FlatRmsProp, torch.optim.RMSprop, options, options)


def test_adam_is_torchs() -> None:
    flat_and_torch(FlatAdam, torch.optim.Adam, *[{"betas": (0.8, 0.95), "eps": 1e-5}] * 2)


def test_the_learner_uses_the_optimiser_of_its_configuration(make_school: Any) -> None:
    options = {"max_grad_norm": 0.0, "learning_rate": 1e-2, "rmsprop_alpha": 0.9, "rmsprop_eps": 0.1, "rmsprop_momentum": 0.5}
    school = make_school(optimizer="rmsprop", **options)
    model = school.recipe.build()
    theirs = torch.optim.RMSprop(model.parameters(), lr=1e-2, alpha=0.9, eps=0.1, momentum=0.5)
    for seed in range(3):
        theirs.zero_grad()
        batch = school.batch(seed)
        school.learner.algorithm.loss(model, batch, None, school.cfg)[0].backward()
        theirs.step()
        model.preprocess.update({key: rows[:-1].flatten(0, 1) for key, rows in batch.obs.items()}, batch.valid.flatten())
        school.train(seed)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(school.learner.model.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_a_state_of_another_optimiser_is_refused(make_school: Any) -> None:
    adam, rmsprop = make_school(), make_school(optimizer="rmsprop")
    with pytest.raises(ValueError, match=r"its optimiser is adam, this run's is rmsprop"):
        rmsprop.learner.optimizer.load_state_dict(adam.learner.optimizer.state_dict())


# --------------------------------------------------------------------------- minibatches


def test_without_shuffling_minibatches_are_the_columns_in_order(make_school: Any) -> None:
    options = {"num_batches_per_iteration": 3, "ppo_epochs": 2, "max_grad_norm": 0.0}
    plain, shuffled = make_school(shuffle_minibatches=False, **options), make_school(**options)
    parts: dict[str, list[torch.Tensor]] = {"plain": [], "shuffled": []}
    for name, school in (("plain", plain), ("shuffled", shuffled)):
        loss = school.learner.algorithm.loss

        def spy(model: Any, batch: Any, *rest: Any, _name: str = name, _loss: Any = loss, **more: Any) -> Any:
            parts[_name].append(batch.rewards.clone())
            return _loss(model, batch, *rest, **more)

        school.learner.algorithm.loss = spy
        school.train(0)
    whole = plain.batch(0, 24).rewards
    assert len(parts["plain"]) == len(parts["shuffled"]) == 6
    for epoch in (0, 3):
        assert torch.equal(torch.cat(parts["plain"][epoch : epoch + 3], 1), whole)
        mixed = torch.cat(parts["shuffled"][epoch : epoch + 3], 1)
        assert not torch.equal(mixed, whole)
        assert torch.equal(mixed.sort(1).values, whole.sort(1).values)
    assert not torch.equal(torch.cat(parts["shuffled"][:3], 1), torch.cat(parts["shuffled"][3:], 1)), "anew in every pass"
    assert not torch.equal(plain.learner.flat.params, shuffled.learner.flat.params)


# --------------------------------------------------------------------------- normalised returns


def scaled_pair(make_school: Any, **options: Any) -> tuple[Any, Any]:
    """A model that predicts normalised returns, and a plain one with the same values in units of rewards."""
    normal, plain = make_school(normalize_returns=True, **options), make_school(**options)
    mean, deviation = 3.0, 20.0
    norm = normal.learner.model.returns_norm
    norm.update(torch.tensor([mean - deviation, mean + deviation]), torch.ones(2, dtype=torch.bool))
    head = plain.learner.model.actor.head
    with torch.no_grad():
        head.weight[-1] /= norm.scale
        head.bias[-1] = head.bias[-1] / norm.scale + norm.shift
    return normal, plain


@pytest.mark.parametrize("with_vtrace", [True, False])
def test_normalised_values_give_the_same_advantages_and_normalised_targets(make_school: Any, with_vtrace: bool) -> None:
    normal, plain = scaled_pair(make_school, with_vtrace=with_vtrace, normalize_advantages=False, algo="impala")
    batch = normal.batch(0)
    seen: dict[str, Targets] = {}
    for name, school in (("normal", normal), ("plain", plain)):

        class Watched(Impala):
            def prepare(self, model: Any, batch: Any, cfg: Any) -> Targets | None:
                return super(Impala, self).prepare(model, batch, cfg)

            def value_term(self, inputs: Any, cfg: Any, _name: str = name) -> Any:
                seen[_name] = inputs.targets
                return super().value_term(inputs, cfg)

        algorithm, model = Watched(), school.learner.model
        algorithm.loss(model, batch, algorithm.prepare(model, batch, school.cfg), school.cfg)
    norm = normal.learner.model.returns_norm
    torch.testing.assert_close(seen["normal"].advantages, seen["plain"].advantages, rtol=1e-4, atol=1e-4)
    expected = (seen["plain"].returns - norm.shift) * norm.scale
    torch.testing.assert_close(seen["normal"].returns, expected, rtol=1e-4, atol=1e-5)
    assert batch.returns is not None, "for the statistics"
    torch.testing.assert_close(batch.returns, seen["plain"].returns, rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_the_returns_and_are_published(make_school: Any) -> None:
    school = make_school(normalize_returns=True, with_vtrace=False, num_batches_per_iteration=2, ppo_epochs=3)
    batch = school.batch(0, 16)
    targets = school.learner.algorithm.prepare(school.recipe.build(), batch, school.cfg)
    school.train(0)
    norm = school.learner.model.returns_norm
    returns = targets.returns[batch.valid].double().numpy()
    assert float(norm.count) == len(returns), "once a frame, whatever the number of passes"
    assert float(norm.mean) == pytest.approx(np.mean(returns), rel=1e-5)
    assert float(norm.m2 / norm.count) == pytest.approx(np.var(returns), rel=1e-5)
    other = make_school(normalize_returns=True)
    other.learner.flat.read_from(school.published()[1])
    assert torch.equal(other.learner.model.returns_norm.scale, norm.scale)
    assert "returns_norm.mean" in school.learner.state_dict()["model"]


@pytest.mark.parametrize("with_vtrace", [True, False])
def test_large_returns_are_learnt_only_where_they_are_normalised(make_school: Any, with_vtrace: bool) -> None:
    """Each step pays about 1,000 and ends its episode: the value is 1,000."""
    errors = {}
    for normalised in (True, False):
        school = make_school(
            normalize_returns=normalised, with_vtrace=with_vtrace, learning_rate=3e-3, reward_clip=1e6, ppo_epochs=2
        )
        learner = school.learner
        for seed in range(30):
            batch = school.batch(seed)
            batch.rewards = (1000.0 + 100.0 * torch.randn(batch.rewards.shape)) * batch.valid
            batch.terminated, batch.truncated = batch.valid.clone(), torch.zeros_like(batch.valid)
            with torch.no_grad():
                _, values = learner.model.evaluate(batch.obs, None, batch.valid)
            batch.values = values[:-1]
            learner.train(batch, int(batch.valid.sum()), with_metrics=False)
        with torch.no_grad():
            _, values = learner.model.evaluate(school.batch(99).obs, None, school.batch(99).valid)
        errors[normalised] = float((learner.model.denormalize_values(values) - 1000.0).abs().mean())
    assert errors[True] < 100.0
    assert errors[False] > 800.0


def test_an_algorithm_that_leaves_no_returns_is_told_so(make_school: Any) -> None:
    school = make_school(normalize_returns=True)
    loss = school.learner.algorithm.loss

    def forgetful(model: Any, batch: Any, *rest: Any, **more: Any) -> Any:
        result = loss(model, batch, *rest, **more)
        batch.returns = None
        return result

    school.learner.algorithm.loss = forgetful
    with pytest.raises(UserError, match="algorithm Appo leaves no returns: it cannot be used with normalize_returns"):
        school.train(0)
