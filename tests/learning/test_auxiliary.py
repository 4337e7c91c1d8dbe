"""Further losses beside the algorithm's: their parameters are trained, clipped, checked and saved with the network's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from arl_core.algorithms.base import AuxiliaryLoss
from arl_core.interfaces import UserError
from arl_core.learning.learner import Learner, LearnerFault


class Steep(AuxiliaryLoss):
    """A loss with a gradient of `slope` on each of its three parameters."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any, slope: float = 1e4) -> None:
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.zeros(3))

    def loss(self, model: Any, batch: Any) -> Any:
        return self.slope * self.weight.sum(), {}


class Misshapen(AuxiliaryLoss):
    """What `gives` says: a loss for each transition, a bonus for each environment, what is no number: all wrong."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any, gives: str) -> None:
        super().__init__()
        self.gives = gives

    def loss(self, model: Any, batch: Any) -> Any:
        mean = batch.rewards.mean()
        wrong = {"loss": (batch.rewards.square(), {}), "number": (0.5, {}), "alone": mean, "pair": (mean, [mean])}
        wrong |= {"text": (mean, {"level": "high"}), "each": (mean, {"error": batch.rewards})}
        return wrong.get(self.gives)

    def bonus(self, batch: Any) -> Any:
        return {"bonus": batch.rewards[0], "constant": 1.0}.get(self.gives)


class Keeping(Steep):
    """Keeps `part` of the network, as a part that torch finds or as one that it does not."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any, part: str) -> None:
        super().__init__(model, obs_space, action_space, cfg, slope=1.0)
        self.kept = {"network": model, "encoder": model.actor.encoder, "norms": model.preprocess.norms, "tuple": (model,)}[part]


def with_loss(school: Any, **options: Any) -> Learner:
    parts = replace(school.recipe.parts, losses=(("test/steep", f"{__name__}:Steep", options),))
    return Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu")


def train(learner: Learner, school: Any) -> None:
    batch = school.batch(1)
    learner.train(batch, int(batch.valid.sum()), with_metrics=True)


def test_one_norm_bounds_the_gradients_of_network_and_losses(make_school: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    school = make_school(max_grad_norm=0.5)
    learner = with_loss(school)
    norms: list[float] = []
    assert learner.auxiliaries is not None
    step = learner.auxiliaries.step

    def noting(lr: float) -> None:
        assert learner.auxiliaries is not None
        norms.append(float(torch.hypot(learner.flat.grads.norm(), learner.auxiliaries.grad_norm())))
        step(lr)

    monkeypatch.setattr(learner.auxiliaries, "step", noting)
    train(learner, school)
    assert norms == [pytest.approx(0.5, rel=1e-4)]
    assert learner.metrics["grad_norm"] == pytest.approx(1e4 * 3**0.5, rel=1e-3)


def test_parameters_of_a_loss_that_are_not_finite_are_not_saved(make_school: Any) -> None:
    school = make_school(max_grad_norm=0.0)
    learner = with_loss(school, slope=1.0)
    train(learner, school)
    assert {"modules", "optimizer"} <= learner.state_dict()["auxiliaries"].keys()
    assert learner.auxiliaries is not None
    for parameter in learner.auxiliaries._modules.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(LearnerFault, match="the weights are not finite"):
        learner.state_dict()
    with pytest.raises(LearnerFault, match="the gradient is not finite"):
        train(with_loss(school, slope=float("inf")), school)


class Poisoned(AuxiliaryLoss):
    """Its bonus is not finite."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any) -> None:
        super().__init__()

    def bonus(self, batch: Any) -> Any:
        return batch.rewards * float("nan")


def test_a_gradient_that_is_not_finite_says_where_to_look(make_school: Any) -> None:
    school = make_school()
    parts = replace(school.recipe.parts, losses=(("test/it", f"{__name__}:Poisoned", {}),))
    with pytest.raises(LearnerFault, match=r"this step was not made\. The bonus of a further loss is not finite"):
        train(Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu"), school)
    with pytest.raises(LearnerFault, match=r"No step was made before: look at network, algorithm, further losses"):
        train(with_loss(school, slope=float("inf")), school)
    learner = with_loss(school, slope=1.0)
    train(learner, school)
    assert learner.auxiliaries is not None
    for loss in learner.auxiliaries._losses.values():
        loss.slope = float("inf")
    with pytest.raises(LearnerFault, match="A lower learning_rate or reward_scale usually helps"):
        train(learner, school)


@pytest.mark.parametrize(
    ("gives", "complaint"),
    [
        ("loss", r"'test/it' is of shape"),
        ("number", r"'test/it' is float, not a tensor"),
        ("alone", r"'test/it': loss gives Tensor, not \(loss, metrics\)"),
        ("pair", r"'test/it': its metrics are list, not a dict of numbers"),
        ("text", r"'test/it': its metric 'level' is str 'high', not one number"),
        ("each", r"'test/it': its metric 'error' is of shape \(\d+, \d+\), not one number"),
        ("bonus", r"'test/it': bonus is \(\d+,\)"),
        ("constant", r"'test/it': bonus is float, not of each transition"),
    ],
)
def test_a_loss_or_bonus_of_the_wrong_shape_is_named(make_school: Any, gives: str, complaint: str) -> None:
    school = make_school()
    parts = replace(school.recipe.parts, losses=(("test/it", f"{__name__}:Misshapen", {"gives": gives}),))
    learner = Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu")
    with pytest.raises(UserError, match=complaint):
        train(learner, school)


@pytest.mark.parametrize(
    ("part", "named"),
    [("network", "kept.actor.encoder"), ("encoder", "kept.mlp"), ("norms", "kept.0.mean"), ("tuple", "")],
)
def test_a_loss_does_not_take_the_network_away(make_school: Any, part: str, named: str) -> None:
    """As a part of the loss the network would be trained apart from what is published: nobody would act with it."""
    school = make_school(normalize_input=True)
    parts = replace(school.recipe.parts, losses=(("test/keeping", f"{__name__}:Keeping", {"part": part}),))
    recipe = replace(school.recipe, parts=parts)
    if named:
        with pytest.raises(UserError, match=f"loss 'test/keeping' has the network's '{named}"):
            Learner(recipe, school.learner.board, "cpu")
        return
    learner = Learner(recipe, school.learner.board, "cpu")
    before = learner.flat.params.clone()
    train(learner, school)
    assert not torch.equal(learner.flat.params, before)


class Optional(Steep):
    """Options of any name."""

    def __init__(self, model: Any, obs_space: Any, action_space: Any, cfg: Any, what: str, recipe: str, maker: str) -> None:
        super().__init__(model, obs_space, action_space, cfg)
        self.given = what, recipe, maker


def test_options_of_a_loss_may_have_any_name(make_school: Any) -> None:
    school = make_school()
    options = {"what": "a", "recipe": "b", "maker": "c"}
    parts = replace(school.recipe.parts, losses=(("test/optional", f"{__name__}:Optional", options),))
    learner = Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu")
    assert learner.auxiliaries is not None
    assert learner.auxiliaries._losses["test/optional"].given == ("a", "b", "c")


def test_an_algorithm_whose_loss_is_no_scalar_is_named(make_school: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    school = make_school()
    monkeypatch.setattr(type(school.learner.algorithm), "loss", lambda self, model, batch, *_, **__: (batch.rewards, {}))
    with pytest.raises(UserError, match="the loss of algorithm Appo is of shape"):
        train(school.learner, school)


def test_what_is_no_algorithm_is_named(make_school: Any) -> None:
    school = make_school()
    parts = replace(school.recipe.parts, algorithm="builtins:dict")
    with pytest.raises(UserError, match="algorithm 'appo' is dict, without prepare and loss: derive it from PolicyGradient"):
        Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu")


def refused(*_: Any) -> None:
    raise SystemExit("no licence")


def broken(*_: Any) -> None:
    raise KeyError("x")


@pytest.mark.parametrize(("maker", "why"), [("refused", "SystemExit: no licence"), ("broken", "KeyError: 'x'")])
def test_a_maker_that_fails_or_exits_is_named(make_school: Any, maker: str, why: str) -> None:
    school = make_school()
    code = f"{__name__}:{maker}"
    parts = school.recipe.parts
    for what, chosen in {
        "loss 'test/it'": replace(parts, losses=(("test/it", code, {}),)),
        "algorithm 'appo'": replace(parts, algorithm=code),
    }.items():
        with pytest.raises(UserError) as told:
            Learner(replace(school.recipe, parts=chosen), school.learner.board, "cpu")
        assert str(told.value) == f"{what} ({code}) cannot be made: {why}"


def named(school: Any, name: str) -> Learner:
    parts = replace(school.recipe.parts, losses=((name, f"{__name__}:Steep", {}),))
    return Learner(replace(school.recipe, parts=parts), school.learner.board, "cpu")


@pytest.mark.parametrize(
    ("saved", "now", "is_same"),
    [
        ("py:__main__:Novelty", "py:my_script:Novelty", True),
        ("py:my_script:Novelty", "py:__main__:Novelty", True),
        ("py:__main__:Novelty", "py:my_script:Curious", False),
        ("py:__main__:Novelty", "my-lab/Novelty", False),
        ("py:one:Novelty", "py:other:Novelty", False),
    ],
)
def test_a_loss_that_a_script_defines_is_known_by_its_module_too(make_school: Any, saved: str, now: str, is_same: bool) -> None:
    school = make_school()
    first, second = named(school, saved).auxiliaries, named(school, now).auxiliaries
    assert first is not None
    assert second is not None
    if is_same:
        second.load_state_dict(first.state_dict())
    else:
        with pytest.raises(ValueError, match=f"they are {saved}, this run's are {now}"):
            second.load_state_dict(first.state_dict())
