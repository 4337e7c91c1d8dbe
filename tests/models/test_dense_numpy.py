from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from arl_core.config import RunConfig
from arl_core.models.actor_critic import ActorCritic
from arl_core.models.dense_numpy import MAX_WEIGHTS, dense_policy
from arl_core.models.encoders import MlpEncoder, default_encoder
from arl_core.models.flat import flatten_module

VECTOR = spaces.Box(-1, 1, (4,))
MASKED = spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR})
KINDS: list[tuple[spaces.Space[Any], spaces.Space[Any], dict[str, Any]]] = [
    (VECTOR, spaces.Discrete(3), {}),
    (VECTOR, spaces.Discrete(2), {"nonlinearity": "relu", "encoder_layers": 3}),
    (VECTOR, spaces.MultiDiscrete([2, 3]), {"nonlinearity": "elu"}),
    (VECTOR, spaces.MultiBinary(3), {"normalize_input": True}),
    (VECTOR, spaces.Box(-1, 1, (2,)), {}),
    (VECTOR, spaces.Box(-1, 1, (2,)), {"actor_critic_share_weights": False, "normalize_input": True}),
    (VECTOR, spaces.Discrete(3), {"actor_critic_share_weights": False}),
    (spaces.Box(-1, 1, (2, 3)), spaces.Discrete(3), {}),
    (spaces.Box(-1, 1, (4,), np.float64), spaces.Discrete(3), {}),  # float32 in memory
    (spaces.Box(-1, 1, ()), spaces.Discrete(3), {"normalize_input": True}),
    (MASKED, spaces.Discrete(3), {}),
]


def make(obs: spaces.Space[Any], actions: spaces.Space[Any], options: dict[str, Any], encoder: Any = MlpEncoder) -> ActorCritic:
    torch.manual_seed(3)
    return ActorCritic(obs, actions, RunConfig(**{"hidden_size": 16, **options}), encoder)


def rows_of(space: spaces.Space[Any], count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Observations of a space, far outside of its bounds too."""
    if isinstance(space, spaces.Dict):
        return {key: rows_of(leaf, count, rng)["obs"] for key, leaf in space.items()}
    if isinstance(space, spaces.MultiBinary):
        return {"obs": rng.integers(0, 2, (count, *space.shape)).astype(np.int8)}
    return {"obs": (rng.normal(size=(count, *(space.shape or ()))) * 4).astype(np.float32)}


@pytest.mark.parametrize(("obs", "actions", "options"), KINDS)
def test_numpy_acts_as_torch_does(obs: spaces.Space[Any], actions: spaces.Space[Any], options: dict[str, Any]) -> None:
    model = make(obs, actions, options)
    flat = flatten_module(model)
    policy = dense_policy(model)
    assert policy is not None
    rng = np.random.default_rng(0)
    for round_ in range(3):
        flat.params.add_(torch.randn_like(flat.params), alpha=0.1)  # in place, as new weights arrive
        model.preprocess.update(
            {key: torch.from_numpy(rows) for key, rows in rows_of(obs, 50, rng).items()}, torch.ones(50, dtype=torch.bool)
        )
        policy.refresh()
        count = [5, 1, 32][round_]
        observed = rows_of(obs, count, rng)
        noise = model.dist.draw_noise(torch.empty(count, model.dist.noise_size), torch.Generator().manual_seed(round_))
        width = model.dist.params_size + 1
        expected, found = torch.full((count, width), 7.0), np.full((count, width), 8.0, np.float32)
        chosen = torch.empty(count, model.dist.action_size, dtype=model.dist.action_dtype)
        columns = np.empty(chosen.shape, chosen.numpy().dtype)
        mask = observed.get("action_mask")
        with torch.inference_mode():
            model.outputs_into({key: torch.from_numpy(rows) for key, rows in observed.items()}, None, expected)
            model.dist.choose_into(chosen, expected[:, :-1], None if mask is None else torch.from_numpy(mask), noise)
        policy.outputs_into(observed, found)
        policy.choose_into(columns, found[:, :-1], mask, noise.numpy())
        np.testing.assert_allclose(found, expected.numpy(), rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(columns, chosen.numpy(), rtol=2e-5, atol=2e-6)


def test_memory_is_that_of_the_largest_number_of_rows() -> None:
    """Central inference asks for as many rows as are waiting, now more, now fewer."""
    policy = dense_policy(make(VECTOR, spaces.Discrete(3), {"actor_critic_share_weights": False}))
    assert policy is not None
    rng = np.random.default_rng(0)
    obs, expected = rows_of(VECTOR, 300, rng)["obs"], np.zeros((300, 4), np.float32)
    policy.outputs_into({"obs": obs}, expected)
    tracemalloc.start()
    for count in rng.permutation(np.arange(1, 301)).tolist():
        found = np.zeros((count, 4), np.float32)
        policy.outputs_into({"obs": obs[:count]}, found)
        np.testing.assert_allclose(found, expected[:count], rtol=2e-5, atol=2e-6)
        del found
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000, "a row of inputs and of hidden units is 300 bytes: buffers for each count would be 14 MB"


def test_choices_follow_the_distribution() -> None:
    model = make(VECTOR, spaces.Discrete(3), {})
    count = 200_000
    params = np.tile(np.log(np.array([[0.2, 0.5, 0.3]], np.float32)), (count, 1))
    noise = model.dist.draw_noise(torch.empty(count, 3), torch.Generator().manual_seed(0)).numpy()
    chosen = np.empty((count, 1), np.int64)
    model.dist.choose_numpy_into(chosen, params, None, noise)
    np.testing.assert_allclose(np.bincount(chosen[:, 0]) / count, [0.2, 0.5, 0.3], atol=0.005)


def test_what_is_not_finite_passes_through_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    model = make(VECTOR, spaces.Discrete(3), {"nonlinearity": "relu"})
    policy = dense_policy(model)
    assert policy is not None
    outputs = np.zeros((3, 4), np.float32)
    policy.outputs_into({"obs": np.array([[np.inf] * 4, [np.nan] * 4, [3e38] * 4], np.float32)}, outputs)
    assert not np.isfinite(outputs[:2]).any()
    assert not recwarn.list


class Doubled(MlpEncoder):
    def forward(self, obs: Any) -> Any:
        return 2.0 * super().forward(obs)


@pytest.mark.parametrize(
    ("obs", "options", "encoder"),
    [
        (VECTOR, {}, Doubled),  # derived: it may compute anything
        (VECTOR, {"use_rnn": True}, MlpEncoder),
        (VECTOR, {"hidden_size": 256}, MlpEncoder),
        (spaces.Box(0, 255, (4,), np.uint8), {}, MlpEncoder),
        (spaces.Box(-1, 1, (4,), np.float16), {}, MlpEncoder),
        (spaces.Discrete(5), {}, MlpEncoder),
        (spaces.Dict({"a": VECTOR, "b": VECTOR}), {}, default_encoder),
        (spaces.Box(-1, 1, (3, 40, 40)), {}, default_encoder),
    ],
)
def test_anything_else_is_left_to_torch(obs: spaces.Space[Any], options: dict[str, Any], encoder: Any) -> None:
    assert dense_policy(make(obs, spaces.Discrete(3), options, encoder)) is None


def test_the_widest_layer_decides() -> None:
    width = int(MAX_WEIGHTS**0.5)
    assert dense_policy(make(VECTOR, spaces.Discrete(3), {"hidden_size": width})) is not None
    assert dense_policy(make(VECTOR, spaces.Discrete(3), {"hidden_size": width + 1})) is None
