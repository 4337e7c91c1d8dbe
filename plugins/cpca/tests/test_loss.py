"""The loss against a loop over its definition, and where its gradients go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from arl_plugin_cpca.actions import ActionInputs
from arl_plugin_cpca.loss import ContrastivePrediction, reachable
from gymnasium import spaces
from torch import Tensor

from arl_core.algorithms.batch import TrainingBatch
from arl_core.config import RunConfig
from arl_core.interfaces import RunParts, UserError
from arl_core.models.policy import Latents, PolicyNetwork
from arl_core.models.recipe import ModelRecipe

OBS, ACTIONS = spaces.Box(-10, 10, (3,), np.float32), spaces.Discrete(4)
PARTS = RunParts("arl_core.models.encoders:default_encoder", "arl_core.algorithms.appo:Appo")
T, B = 9, 4


def make(cfg: dict[str, Any] | None = None, actions: spaces.Space[Any] = ACTIONS, **options: Any) -> Any:
    fields = {"use_rnn": True, "hidden_size": 8, "rollout": T, "batch_size": T * B, **(cfg or {})}
    recipe = ModelRecipe(OBS, actions, RunConfig(**fields), PARTS)
    model = recipe.build()
    torch.manual_seed(0)
    return model, ContrastivePrediction(model, OBS, actions, recipe.cfg, **options)


def make_batch(model: PolicyNetwork, actions: spaces.Space[Any] = ACTIONS, *, endings: bool = True) -> TrainingBatch:
    torch.manual_seed(1)
    ended = torch.zeros(T, B, dtype=torch.bool)
    if endings:
        ended[3, 0] = ended[8, 1] = ended[0, 2] = ended[5, 2] = True
    valid = torch.ones(T, B, dtype=torch.bool)
    valid[1:] = ~ended[:-1]  # the row after an ending is a reset
    actions.seed(0)
    chosen = np.array([[np.ravel(actions.sample()) for _ in range(B)] for _ in range(T)])
    none = torch.zeros(T, B)
    return TrainingBatch(
        obs={"obs": torch.randn(T + 1, B, 3)},
        actions=torch.from_numpy(chosen),
        log_probs=none, values=none, params=torch.zeros(T, B, 4), rewards=none,
        terminated=ended, truncated=torch.zeros_like(ended), valid=valid,
    )  # fmt: skip


def evaluate(model: PolicyNetwork, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
    return model.evaluate(batch.obs, None, batch.valid)


def naive(loss: ContrastivePrediction, model: PolicyNetwork, batch: TrainingBatch, drawn: Any) -> float:
    """One prediction at a time, as the paper has it; whether it counts is found by walking from row t to t + j."""
    assert model.latents is not None
    features, memory = (x.detach() for x in model.latents)
    flat = features.flatten(0, 1)

    def logit(state: Tensor, z: Tensor) -> Tensor:
        return loss.score(torch.relu(loss.of_prediction(state) + loss.of_features(z))).squeeze(-1)

    terms = []
    for j_index, j in enumerate(drawn.steps.tolist()):
        for s_index, t in enumerate(drawn.rows.tolist()):
            for b in range(B):
                way = range(t, t + j)
                if t + j > T or not all(batch.valid[s, b] for s in way) or any(batch.terminated[s, b] for s in way[:-1]):
                    continue
                state = torch.tanh(loss.begin(memory[t, b]))[None]
                for s in way:
                    one_hot = torch.eye(4)[batch.actions[s, b, 0]][None]
                    state = loss.cell(one_hot, state)
                right = -torch.log(torch.sigmoid(logit(state[0], features[t + j, b])))
                wrong = [-torch.log(1 - torch.sigmoid(logit(state[0], flat[i]))) for i in drawn.negatives[j_index, s_index, b]]
                terms.append((right + torch.stack(wrong).mean()).item())
    return float(np.mean(terms))


@pytest.mark.parametrize("cfg", [{}, {"use_rnn": False}, {"rnn_type": "lstm"}, {"actor_critic_share_weights": False}], ids=str)
@pytest.mark.parametrize("endings", [True, False])
def test_the_loss_is_its_definition(cfg: dict[str, Any], endings: bool) -> None:
    model, loss = make(cfg, coeff=0.5, steps=5, step_subsample=3, negatives=7)
    batch = make_batch(model, endings=endings)
    evaluate(model, batch)
    drawn = loss.draw(T, B)
    total, metrics = loss.loss_of(model.latents, batch, drawn)
    expected = naive(loss, model, batch, drawn)
    assert metrics["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_latents_are_what_the_heads_see() -> None:
    model, _ = make()
    batch = make_batch(model)
    params, values = evaluate(model, batch)
    heads = model.actor.head(model.latents.memory)
    assert torch.equal(heads[..., :4], params)
    assert torch.equal(heads[..., 4], values)
    assert torch.equal(model.latents.features.flatten(0, 1), model.actor.encoder(model.preprocess(
        {"obs": batch.obs["obs"].flatten(0, 1)})))  # fmt: skip


def test_gradients_reach_encoder_and_core_and_every_own_parameter() -> None:
    model, loss = make(time_subsample=0, step_subsample=0)
    batch = make_batch(model)
    evaluate(model, batch)
    loss.loss(model, batch)[0].backward()
    for part in (model.actor.encoder, model.actor.core, loss):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in model.actor.head.parameters())


def test_what_lies_in_another_episode_has_no_gradient() -> None:
    """A prediction from row 2 of column 0, whose episode ends with row 3: rows 3 and 4 count, the rest does not."""
    model, loss = make({"use_rnn": False}, steps=6, step_subsample=0, negatives=1)
    batch = make_batch(model)
    features = torch.randn(T + 1, B, 8, requires_grad=True)
    memory = torch.randn(T + 1, B, 8)
    drawn = loss.draw(T, B)._replace(rows=torch.tensor([2]), negatives=torch.zeros(6, 1, B, 1, dtype=torch.int64))
    loss.loss_of(Latents(features, memory), batch, drawn)[0].backward()
    touched = features.grad.abs().sum(-1)[1:, 0] > 0
    assert touched.nonzero().flatten().tolist() == [2, 3]  # rows 3 and 4: the true final observation is the last


def test_reachable_by_hand() -> None:
    model, _ = make()
    batch = make_batch(model)
    assert reachable(batch, 3)[:, :, 0].int().tolist() == [
        [1, 1, 1, 1, 0, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 1, 1, 1, 0],
        [1, 1, 0, 0, 0, 1, 1, 0, 0],
    ]


def test_a_batch_of_resets_alone_has_no_loss_and_no_nan() -> None:
    model, loss = make()
    batch = make_batch(model)
    batch.valid[:] = False
    evaluate(model, batch)
    total, metrics = loss.loss(model, batch)
    total.backward()
    assert total.item() == metrics["accuracy"].item() == 0.0
    assert all(torch.isfinite(p.grad).all() for p in loss.parameters())


def test_drawing_goes_on_from_a_saved_state() -> None:
    _, loss = make()
    loss.draw(T, B)
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    wanted = loss.draw(T, B)
    _, other = make()
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(wanted, other.draw(T, B), strict=True))


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Discrete(3, start=2), 3),
        (spaces.MultiDiscrete([2, 3]), 5),
        (spaces.MultiBinary(4), 4),
        (spaces.Box(-1, 1, (2, 2)), 4),
        (spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-1, 1, (2,))}), 5),
    ],
    ids=str,
)
def test_actions_of_every_kind(space: spaces.Space[Any], size: int) -> None:
    inputs = ActionInputs(space)
    assert inputs.size == size
    columns = torch.ones(5, len(inputs._classes))
    encoded = inputs(columns)
    assert encoded.shape == (5, size)
    assert encoded.dtype == torch.float32
    if isinstance(space, spaces.MultiDiscrete):
        assert encoded[0].tolist() == [0, 1, 0, 1, 0]


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"steps \(20\) is more than rollout \(9\)"):
        make(steps=20)


def test_it_teaches_encoder_and_core_what_actions_lead_to() -> None:
    """A ring of eight places, of which one sees a noisy code: no reward, only CPC|A. The right place, to which actions lead,
    comes to be told from others."""
    model, loss = make({"hidden_size": 32}, steps=4, step_subsample=0, negatives=8)
    torch.manual_seed(2)
    codes = torch.randn(8, 3)
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=3e-3)
    seen = []
    for step in range(250):
        torch.manual_seed(100 + step)
        actions = torch.randint(4, (T, 16, 1))
        places = torch.cat([torch.randint(8, (1, 16)), actions[..., 0] - 1]).cumsum(0) % 8  # moves of -1, 0, 1, 2
        obs = codes[places] + 0.3 * torch.randn(T + 1, 16, 3)
        valid = torch.ones(T, 16, dtype=torch.bool)
        batch = TrainingBatch(
            obs={"obs": obs}, actions=actions, log_probs=valid.float(), values=valid.float(),
            params=torch.zeros(T, 16, 4), rewards=valid.float(), terminated=~valid, truncated=~valid, valid=valid,
        )  # fmt: skip
        evaluate(model, batch)
        total, metrics = loss.loss(model, batch)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        seen.append(metrics["accuracy"].item())
    assert np.mean(seen[:5]) < 0.6 < 0.75 < np.mean(seen[-20:])
