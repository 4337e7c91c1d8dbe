"""Networks for glyphs and pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arl_plugin_minihack.encoders import CropEncoder, GlyphEncoder, make_auto, scaled_blstats
from arl_plugin_minihack.observe import NO_GLYPH, observation_space
from arl_plugin_minihack.options import MiniHackOptions
from gymnasium import spaces

from arl_core import APPO
from arl_core.config import RunConfig
from arl_core.interfaces import UserError
from arl_core.models.encoders import ConvEncoder
from arl_core.models.spaces import network_space


def space_of(**options: Any) -> spaces.Dict:
    return network_space(observation_space(MiniHackOptions(**options)))


def batch(space: spaces.Dict, rows: int = 5) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    glyphs = {key: rng.integers(0, NO_GLYPH + 1, (rows, *(part.shape or ()))) for key, part in space.items()}
    return {key: torch.from_numpy(value).float() for key, value in glyphs.items()}


@pytest.mark.parametrize(
    ("options", "kind", "parts"),
    [({}, GlyphEncoder, 3), ({"observation": "crop"}, CropEncoder, 2), ({"crop_size": 5}, GlyphEncoder, 3)],
)
def test_auto_takes_what_fits_and_every_parameter_learns(options: dict[str, Any], kind: type, parts: int) -> None:
    space = space_of(**options)
    encoder = make_auto(space, RunConfig(hidden_size=24))
    assert type(encoder) is kind
    out = encoder(batch(space))
    assert out.shape == (5, encoder.output_size) == (5, 24 * parts)
    out.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


@pytest.mark.parametrize("observation", ["pixel", "pixel_crop"])
def test_pixels_go_to_the_cores_convolutions(observation: str) -> None:
    encoder = make_auto(space_of(observation=observation), RunConfig())
    assert isinstance(encoder, ConvEncoder)


def test_the_crop_encoder_ignores_the_map() -> None:
    encoder, obs = CropEncoder(space_of(), RunConfig()), batch(space_of())
    before = encoder(obs)
    obs["glyphs"].zero_()
    assert torch.equal(encoder(obs), before)
    obs["glyphs_crop"].zero_()
    assert not torch.equal(encoder(obs), before)


def test_the_map_sees_the_last_column_and_its_glyphs_are_learned_by_the_crop() -> None:
    encoder, obs = GlyphEncoder(space_of(), RunConfig()), batch(space_of())
    before = encoder(obs).detach()
    obs["glyphs"][:, :, -1] = 7
    after = encoder(obs)
    assert not torch.equal(after, before)
    after[:, 128:].sum().backward()  # the map's part
    gradient = encoder.embedding.weight.grad
    assert gradient is None or not gradient.any()


def test_the_status_line_is_scaled() -> None:
    blstats = torch.zeros(1, 27)
    blstats[0, :2] = torch.tensor([79.0, 10.5])
    blstats[0, 9], blstats[0, 20], blstats[0, 25] = 20_000, -5, 0b101
    scaled = scaled_blstats(blstats)[0]
    assert scaled[:2].tolist() == [1.0, 0.5]
    assert scaled[9] == pytest.approx(0.2 * np.log(20_001))
    assert scaled[20] == pytest.approx(-0.2 * np.log(6))
    assert scaled[-13:].tolist() == [1.0, 0.0, 1.0] + [0.0] * 10


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UserError, match="needs glyphs_crop and blstats, got obs"):
        CropEncoder(space_of(observation="pixel"), RunConfig())
    with pytest.raises(UserError, match=r"minihack\.observation glyphs"):
        GlyphEncoder(space_of(observation="crop"), RunConfig())
    with pytest.raises(UserError, match="normalize_input"):
        make_auto(space_of(), RunConfig(normalize_input=True))


def test_the_default_policy_has_a_form_in_onnx(tmp_path: Path) -> None:
    pytest.importorskip("minihack", reason="NetHack is not installed: pip install arl-plugin-minihack")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install arl-plugin-export")
    export = pytest.importorskip("arl_plugin_export", reason="it is not installed: pip install arl-plugin-export")
    with APPO(env="minihack", num_workers=1, num_envs_per_worker=1, policy_kwargs={"serial": True}) as model:
        policy = model.policy()
    session = runtime.InferenceSession(str(export.export_onnx(policy, tmp_path / "policy.onnx")))
    rng = np.random.default_rng(0)
    blstats = rng.integers(-3, 200, (3, 27))
    blstats[:, 25] = [0, 0b1000000000101, 0b11]
    shapes = {"glyphs": (3, 21, 79), "glyphs_crop": (3, 9, 9)}
    glyphs = {key: rng.integers(0, NO_GLYPH, shape, dtype=np.int16) for key, shape in shapes.items()}
    obs = {**glyphs, "blstats": blstats}
    params, value = session.run(["params", "value"], {f"obs.{key}": rows for key, rows in obs.items()})
    with torch.no_grad():
        out = policy({key: torch.from_numpy(rows) for key, rows in obs.items()})
    np.testing.assert_allclose(params, out.params.numpy(), atol=1e-4)
    np.testing.assert_allclose(value, out.value.numpy(), atol=1e-4)
