from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.encoders import ConvEncoder, MlpEncoder, MultiInputEncoder, default_encoder
from arl_core.models.layers import dense_tanh, tanh
from arl_core.models.preprocess import Preprocessor
from arl_core.models.spaces import network_space


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def rows_of(space: spaces.Space[Any], n: int = 3) -> dict[str, Tensor]:
    """n sampled rows of a space, batched as the engine does."""
    flat = network_space(space)
    flat.seed(0)
    samples = [flat.sample() for _ in range(n)]
    return {key: torch.from_numpy(np.stack([np.asarray(row[key]) for row in samples])) for key in flat.spaces}


MIXED = spaces.Dict({"pixels": image(64, 64, 3), "goal": spaces.Discrete(4), "v": spaces.Box(-1, 1, (2, 2))})


@pytest.mark.parametrize(
    ("space", "options", "kind", "size"),
    [
        (spaces.Box(-1, 1, (4,)), {}, MlpEncoder, 64),
        (spaces.Box(-1, 1, (4, 4)), {"nonlinearity": "relu"}, MlpEncoder, 64),
        (spaces.Discrete(6), {"hidden_size": 32, "nonlinearity": "elu"}, MlpEncoder, 32),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(3)]), {"encoder_layers": 1}, MlpEncoder, 64),
        (spaces.Box(-1, 1, (4,)), {"encoder_subtype": "mlp_mujoco", "encoder_layers": 5}, MlpEncoder, 64),
        (image(84, 84, 3), {}, ConvEncoder, 64),
        (image(4, 84, 84), {"encoder_subtype": "nature", "hidden_size": 512}, ConvEncoder, 512),
        (image(36, 40, 1), {"encoder_subtype": "convnet_test"}, ConvEncoder, 64),
        (image(7, 7, 3), {"nonlinearity": "elu"}, ConvEncoder, 64),
        (MIXED, {}, MultiInputEncoder, 128),
        (MIXED, {"encoder_subtype": "nature", "nonlinearity": "relu"}, MultiInputEncoder, 128),
    ],
)
def test_features_and_gradients(space: spaces.Space[Any], options: dict[str, Any], kind: type[nn.Module], size: int) -> None:
    torch.manual_seed(0)
    cfg = RunConfig(**options)
    encoder = default_encoder(network_space(space), cfg)
    assert type(encoder) is kind
    assert encoder.output_size == size
    features = encoder(Preprocessor(space, cfg)(rows_of(space)))
    assert features.shape == (3, size)
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_layouts_of_an_image_are_equivalent() -> None:
    cfg = RunConfig()
    torch.manual_seed(0)
    last = default_encoder(network_space(image(40, 44, 3)), cfg)
    torch.manual_seed(0)
    first = default_encoder(network_space(image(3, 40, 44)), cfg)
    x = torch.rand(2, 40, 44, 3)
    torch.testing.assert_close(last({"obs": x}), first({"obs": x.permute(0, 3, 1, 2).contiguous()}))


def test_layers_of_the_mlp() -> None:
    def shapes(**options: Any) -> list[tuple[int, ...]]:
        encoder = MlpEncoder(network_space(spaces.Box(-1, 1, (4,))), RunConfig(**options))
        return [tuple(p.shape) for p in encoder.parameters() if p.dim() == 2]

    assert shapes(encoder_layers=3, hidden_size=8) == [(8, 4), (8, 8), (8, 8)]
    assert shapes(encoder_layers=3, hidden_size=8, encoder_subtype="mlp_mujoco") == [(8, 4), (8, 8)]


@pytest.mark.parametrize(
    ("space", "maker", "subtype", "message"),
    [
        (spaces.Box(-1, 1, (4,)), default_encoder, "mlp_mujoko", "Did you mean 'mlp_mujoco'"),
        (image(84, 84, 3), default_encoder, "convnet_simpel", "Did you mean 'convnet_simple'"),
        (image(84, 84, 3), default_encoder, "mlp_mujoco", "Choose from: convnet_simple"),
        (image(20, 84, 3), default_encoder, "nature", "'obs' is 20x84: its convolution 3"),
        (MIXED, ConvEncoder, None, "'goal' has shape"),
    ],
)
def test_mistakes(space: spaces.Space[Any], maker: Any, subtype: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        maker(network_space(space), RunConfig(encoder_subtype=subtype))


def test_tanh_by_sigmoid_is_tanh() -> None:
    x = torch.linspace(-30, 30, 4001)
    torch.testing.assert_close(tanh(x), torch.tanh(x), atol=3e-7, rtol=0)
    args = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64), torch.randn(4).double()
    torch.testing.assert_close(dense_tanh(*args), torch.tanh(args[0] @ args[1].T + args[2]))
    assert torch.autograd.gradcheck(dense_tanh, tuple(arg.requires_grad_() for arg in args))
    assert torch.autograd.gradcheck(tanh, (args[0],))


def test_an_mlp_that_was_moved_uses_its_moved_weights() -> None:
    encoder = MlpEncoder(network_space(spaces.Box(-1, 1, (4,))), RunConfig())
    x = {"obs": torch.rand(2, 4)}
    before = encoder(x)
    after = encoder.double()({"obs": x["obs"].double()})
    assert after.dtype == torch.float64
    torch.testing.assert_close(after.float(), before, atol=1e-6, rtol=1e-5)
    encoder.load_state_dict({name: torch.zeros_like(value) for name, value in encoder.state_dict().items()})
    assert (encoder({"obs": x["obs"].double()}) == 0).all()
