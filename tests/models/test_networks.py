"""Every registered encoder: names, shapes, gradients, and the published networks against their papers' arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from arl_core.config import RunConfig
from arl_core.interfaces import UserError, load_object
from arl_core.models.convnets import NETWORKS, smallest_image_px
from arl_core.models.encoders import MLPS, MultiInputEncoder
from arl_core.models.flat import flatten_module
from arl_core.models.preprocess import Preprocessor
from arl_core.models.spaces import network_space
from arl_core.registry.builtin import arl_encoders
from arl_core.registry.catalog import encoder_maker

NAMES = [spec.name for spec in arl_encoders()]
IMAGE_ONLY = ["conv", "resnet", *NETWORKS]
FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def image(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def build(name: str, space: spaces.Space[Any], seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return load_object(encoder_maker(name))(network_space(space), RunConfig(encoder=name, **options))


def rows_of(space: spaces.Space[Any], n: int) -> dict[str, torch.Tensor]:
    """n preprocessed rows."""
    flat = network_space(space)
    flat.seed(0)
    samples = [flat.sample() for _ in range(n)]
    batch = {key: torch.from_numpy(np.stack([np.asarray(row[key]) for row in samples])) for key in flat.spaces}
    with torch.no_grad():
        return Preprocessor(space, RunConfig())(batch)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --------------------------------------------------------------------------- shapes and gradients


SPACES: dict[str, spaces.Space[Any]] = {
    "atari": FRAMES,
    "last": image(84, 84, 3),
    "odd": image(3, 97, 41),
    "least": image(36, 36, 1),
    "grid": image(9, 7, 7),
    "pixel": image(1, 1, 1),
    "float image": spaces.Box(-1, 1, (40, 50, 2), np.float32),
    "vector": spaces.Box(-np.inf, np.inf, (17,)),
    "number": spaces.Box(0, 1, ()),
    "one class": spaces.Discrete(1),
    "classes": spaces.MultiDiscrete([[2, 3], [4, 1]]),
    "two images": spaces.Dict({"near": image(3, 36, 36), "far": image(64, 40, 3)}),
    "all": spaces.Dict({"eye": image(3, 40, 40), "a": spaces.Tuple([spaces.MultiBinary(3), spaces.Discrete(4)])}),
}


def fits(name: str, space: spaces.Space[Any]) -> bool:
    leaves = list(network_space(space).spaces.values())
    if name not in IMAGE_ONLY:
        return True
    least = smallest_image_px(NETWORKS[name]) if name in NETWORKS else 1
    return all(len(leaf.shape or ()) == 3 and min(sorted(leaf.shape)[1:]) >= least for leaf in leaves)  # type: ignore[type-var]


def num_parts(name: str, space: spaces.Space[Any]) -> int:
    """Networks side by side: one an image, one for the rest."""
    kinds = [len(leaf.shape or ()) == 3 for leaf in network_space(space).spaces.values()]
    return 1 if name in MLPS else sum(kinds) + (not all(kinds))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", SPACES)
def test_an_encoder_has_its_size_and_gradients_or_says_why_not(name: str, which: str) -> None:
    space = SPACES[which]
    if not fits(name, space):
        with pytest.raises(UserError, match=r"encoder '.*' needs image"):
            build(name, space, hidden_size=8)
        return
    encoder = build(name, space, hidden_size=8, nonlinearity="elu")
    rows = rows_of(space, 3)
    features = encoder(rows)
    assert features.shape == (3, encoder.output_size)
    assert encoder.output_size == 8 * num_parts(name, space)
    assert torch.isfinite(features).all()
    flat = flatten_module(encoder)
    encoder(rows).square().sum().backward()
    assert flat.grads.count_nonzero() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters() if p.dim() > 1 and which != "pixel")
    with torch.inference_mode():
        torch.testing.assert_close(encoder(rows), features)
        assert encoder({key: row[:0] for key, row in rows.items()}).shape == (0, encoder.output_size)


@pytest.mark.parametrize(
    ("space", "choice", "why"),
    [
        (spaces.Box(-1.0, 1.0, (16,)), "mlp", ": there is no image"),
        (spaces.Dict(eye=FRAMES, place=spaces.Discrete(3)), "multi", ", for images and the rest"),
        (image(4, 84, 84, 3), "mlp", ", or join a stack of images on their channels (wrapper frame-stack does)"),
    ],
)
def test_convolutions_of_what_is_no_image_say_what_to_choose(space: spaces.Space[Any], choice: str, why: str) -> None:
    with pytest.raises(UserError) as refused:
        build("nature", space)
    assert str(refused.value).endswith(f". Choose encoder {choice}{why}")
    assert build(choice, space).output_size


def test_every_network_is_an_encoder_and_every_summary_says_something() -> None:
    assert set(NAMES) == {"auto", "multi", "conv", "resnet", *NETWORKS, *MLPS}
    assert all(spec.summary for spec in arl_encoders())


# --------------------------------------------------------------------------- names


PAIRS = [("conv", name) for name in NETWORKS] + [("resnet", "resnet_impala"), ("mlp", "mlp_mujoco"), ("mlp", "mlp")]


@pytest.mark.parametrize(("encoder", "subtype"), PAIRS)
def test_a_name_alone_is_an_encoder_with_that_subtype(encoder: str, subtype: str) -> None:
    space = spaces.Box(-1, 1, (5,)) if encoder == "mlp" else FRAMES
    rows = rows_of(space, 2)
    expected = build(encoder, space, encoder_subtype=subtype)(rows)
    assert torch.equal(build(subtype, space)(rows), expected)
    assert torch.equal(build(subtype, space, encoder_subtype=subtype)(rows), expected)
    assert torch.equal(build("auto", space, encoder_subtype=subtype)(rows), expected)


@pytest.mark.parametrize(
    ("encoder", "subtype", "message"),
    [
        (
            "nature",
            "convnet_simple",
            "encoder 'nature' says which network, and encoder_subtype 'convnet_simple' contradicts it",
        ),
        ("nature", "natur", "contradicts it: leave one out. Did you mean 'nature'"),
        ("mlp_mujoco", "mlp", "encoder 'mlp_mujoco' says which network"),
        ("conv", "convnet_impal", "encoder_subtype 'convnet_impal' .* Did you mean 'convnet_impala'"),
        ("conv", "mlp_mujoco", "Choose from: convnet_simple, "),
        ("resnet", "nature", "Choose from: resnet_impala"),
        ("mlp", "nature", "Choose from: mlp, mlp_mujoco"),
        ("multi", "resnet_impal", "Did you mean 'resnet_impala'"),
    ],
)
def test_contradictions_and_unknown_subtypes(encoder: str, subtype: str, message: str) -> None:
    space = spaces.Box(-1, 1, (5,)) if encoder.startswith("mlp") else FRAMES
    with pytest.raises(UserError, match=message) as caught:
        build(encoder, space, encoder_subtype=subtype)
    assert "\n" not in str(caught.value)


def test_an_unknown_encoder_has_a_neighbour() -> None:
    with pytest.raises(UserError, match=r"no encoder 'convnet_impal'\. Did you mean 'convnet_impala'"):
        encoder_maker("convnet_impal")


def test_multi_gives_each_part_the_subtype_that_it_has() -> None:
    space = spaces.Dict({"eye": FRAMES, "v": spaces.Box(-1, 1, (6,))})
    image_part = build("multi", space, encoder_subtype="nature", hidden_size=32)
    assert isinstance(image_part, MultiInputEncoder)
    assert image_part.images is not None
    assert image_part.rest is not None
    assert count(image_part.images) == count(build("nature", FRAMES, hidden_size=32))
    vector_part = build("multi", space, encoder_subtype="mlp_mujoco", encoder_layers=5)
    assert vector_part.rest is not None
    assert count(vector_part.rest) == 6 * 64 + 64 + 64 * 64 + 64


# --------------------------------------------------------------------------- the networks themselves


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nature", 1_684_128),  # Mnih et al. 2015, extended data table 1: 32@8s4, 64@4s2, 64@3s1, 512
        ("convnet_test", 1_684_128),
        ("convnet_impala", (4 * 64 + 1) * 16 + (16 * 16 + 1) * 32 + (32 * 81 + 1) * 512),
        ("convnet_simple", (4 * 64 + 1) * 32 + (32 * 16 + 1) * 64 + (64 * 9 + 1) * 128 + (128 * 16 + 1) * 512),
        ("resnet_impala", 592 + 4 * 2_320 + 4_640 + 4 * 9_248 + 9_248 + 4 * 9_248 + (32 * 121 + 1) * 512),
    ],
)
def test_parameter_counts_on_four_frames_of_84_pixels(name: str, expected: int) -> None:
    assert count(build(name, FRAMES, hidden_size=512)) == expected


def sequential(*layers: Any) -> nn.Sequential:
    return nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block as figure 3 draws it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(torch.relu(self.one(torch.relu(x))))


def naive(name: str) -> nn.Module:
    relu = nn.ReLU
    if name == "nature":
        convolutions: list[nn.Module] = [nn.Conv2d(4, 32, 8, 4), relu(), nn.Conv2d(32, 64, 4, 2), relu()]
        convolutions += [nn.Conv2d(64, 64, 3, 1), relu()]
        return sequential(*convolutions, nn.Flatten(), nn.Linear(3136, 64), relu())
    if name == "convnet_impala":
        body = [nn.Conv2d(4, 16, 8, 4), relu(), nn.Conv2d(16, 32, 4, 2), relu()]
        return sequential(*body, nn.Flatten(), nn.Linear(2592, 64), relu())
    stages = []
    for before, after in ((4, 16), (16, 32), (32, 32)):
        stages += [nn.Conv2d(before, after, 3, padding=1), nn.MaxPool2d(3, 2, 1), Block(after), Block(after)]
    return sequential(*stages, relu(), nn.Flatten(), nn.Linear(3872, 64), relu())


def order(name: str, parameters: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Our parameters in the order of the naive network's."""
    if name != "resnet_impala":
        return list(parameters.values())
    by_layer = [[v for k, v in parameters.items() if f".{part}." in k] for part in ("entries", "blocks", "dense")]
    entries, blocks, dense = by_layer
    ordered = []
    for stage in range(3):
        ordered += entries[2 * stage : 2 * stage + 2] + blocks[8 * stage : 8 * stage + 8]
    return ordered + dense


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("name", ["nature", "convnet_impala", "resnet_impala"])
def test_outputs_and_gradients_are_those_of_a_naive_network(name: str, layout: str) -> None:
    ours = build(name, FRAMES if layout == "first" else image(84, 84, 4), nonlinearity="tanh")  # relu by definition
    flat = flatten_module(ours)
    theirs = naive(name)
    mine = order(name, dict(ours.named_parameters()))
    for source, target in zip(mine, theirs.parameters(), strict=True):
        assert source.shape == target.shape
        target.data.copy_(source.data)
    x = torch.rand(3, 4, 84, 84)
    given = x if layout == "first" else x.permute(0, 2, 3, 1).contiguous()
    out, expected = ours({"obs": given}), theirs(x)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    out.square().sum().backward()
    expected.square().sum().backward()
    for source, target in zip(mine, theirs.parameters(), strict=True):
        torch.testing.assert_close(source.grad, target.grad, atol=1e-3, rtol=1e-3)
    total = torch.stack([p.grad.square().sum() for p in theirs.parameters() if p.grad is not None]).sum()
    torch.testing.assert_close(flat.grads.square().sum(), total, atol=0.0, rtol=1e-3)


def test_the_activation_is_the_configured_one_where_no_paper_says_which() -> None:
    for name in ("convnet_simple", "convnet_small", "minigrid_convnet_tiny", "mlp"):
        outputs = [build(name, FRAMES, nonlinearity=choice)(rows_of(FRAMES, 2)) for choice in ("relu", "tanh", "elu")]
        assert (outputs[0] >= 0).all()
        assert (outputs[1].abs() <= 1).all()
        assert outputs[2].min() < 0
    outputs = [build("nature", FRAMES, nonlinearity=choice)(rows_of(FRAMES, 2)) for choice in ("relu", "tanh")]
    assert torch.equal(*outputs)


@pytest.mark.parametrize(("layers", "size"), [(0, 3136), (1, 16), (3, 16)])
def test_dense_layers_after_the_convolutions(layers: int, size: int) -> None:
    encoder = build("nature", FRAMES, hidden_size=16, encoder_extra_fc_layers=layers)
    assert encoder.output_size == size
    assert encoder(rows_of(FRAMES, 2)).shape == (2, size)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("nature", (3, 35, 84), "at least 36x36 px; observation 'obs' is 35x84: its convolution 3 .3x3. would see 2x9 px"),
        ("convnet_impala", (3, 7, 84), "at least 20x20 px; observation 'obs' is 7x84: its convolution 1 .8x8. does not fit"),
        ("minigrid_convnet_tiny", (3, 3, 3), "at least 5x5 px"),
    ],
)
def test_a_small_image_names_layer_and_sizes(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build(name, image(*shape))
    assert "Use convnet_small or resnet_impala" in str(caught.value)


def test_the_least_image_fits() -> None:
    for name, network in NETWORKS.items():
        side = smallest_image_px(network)
        assert math.prod(build(name, image(3, side, side))(rows_of(image(3, side, side), 1)).shape) == 64
        if side > 1:
            with pytest.raises(UserError, match=f"at least {side}x{side} px"):
                build(name, image(3, side - 1, side))
