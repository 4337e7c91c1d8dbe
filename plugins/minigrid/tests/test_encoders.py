"""Networks for symbols, pixels and missions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from arl_plugin_minigrid.encoders import PixelsEncoder, SymbolicEncoder, make_auto
from arl_plugin_minigrid.mission import tokens
from gymnasium import spaces

from arl_core import APPO
from arl_core.config import RunConfig
from arl_core.envs.make import build_env
from arl_core.interfaces import EnvContext, UserError
from arl_core.models.preprocess import Preprocessor
from arl_core.models.spaces import network_space
from arl_core.registry import resolve_env

pytest.importorskip("minigrid", reason="minigrid is not installed: pip install arl-plugin-minigrid")


def space_of(name: str = "minigrid", **options: Any) -> spaces.Dict:
    env = build_env(resolve_env(name, options), EnvContext(run_seed=1, index=0, seed=2))
    return network_space(env.observation_space)


def batch(space: spaces.Dict, rows: int = 5) -> dict[str, torch.Tensor]:
    space.seed(0)
    drawn = [space.sample() for _ in range(rows)]
    raw = {key: torch.from_numpy(np.stack([np.asarray(row[key]) for row in drawn])) for key in space}
    return Preprocessor(space, RunConfig()).forward(raw)


@pytest.mark.parametrize("options", [{}, {"observation": "full"}, {"mission": "words"}, {"mission": "tokens"}])
def test_every_parameter_of_the_symbolic_encoder_learns(options: dict[str, Any]) -> None:
    space = space_of("minigrid:DoorKey-8x8", **options)
    encoder = make_auto(space, RunConfig(hidden_size=24))
    assert type(encoder) is SymbolicEncoder
    out = encoder(batch(space))
    assert out.shape == (5, encoder.output_size) == (5, 24)
    out.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


def test_pixels_go_to_the_cores_convolutions() -> None:
    space = space_of(observation="pixels", mission="words")
    assert space["image"].shape == (3, 56, 56)
    encoder = make_auto(space, RunConfig())
    assert isinstance(encoder, PixelsEncoder)
    assert encoder(batch(space)).shape == (5, encoder.output_size)


def test_what_a_cell_holds_is_told_apart() -> None:
    space = space_of()
    encoder, obs = SymbolicEncoder(space, RunConfig()), batch(space, 1)
    obs["image"][:] = 0
    seen = []
    for place in range(3):
        changed = obs["image"].clone()
        changed[0, 3, 3, place] = 2
        seen.append(encoder({**obs, "image": changed}))
    seen.append(encoder({**obs, "direction": obs["direction"].flip(1)}))
    seen.append(encoder(obs))
    assert all(not torch.allclose(one, other) for i, one in enumerate(seen) for other in seen[:i])


def test_the_order_of_words_counts_and_neighbours_do_not() -> None:
    encoder = SymbolicEncoder(space_of(mission="tokens"), RunConfig(hidden_size=16))
    texts = ["open the red door", "the door open red", "", "go to a key and go to a box after you open the blue door"]
    obs = {"image": torch.zeros(4, 7, 7, 3), "direction": torch.zeros(4, 4)}
    obs["mission"] = torch.from_numpy(np.stack([tokens(text) for text in texts])).float()
    together = encoder(obs)
    alone = torch.cat([encoder({key: value[i : i + 1] for key, value in obs.items()}) for i in range(4)])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together[0], together[1])


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(UserError, match=r"needs --minigrid\.observation view or full"):
        SymbolicEncoder(space_of(observation="pixels"), RunConfig())
    with pytest.raises(UserError, match="normalize_input"):
        make_auto(space_of(), RunConfig(normalize_input=True))


def test_a_policy_that_reads_missions_has_a_form_in_onnx(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install arl-plugin-export")
    export = pytest.importorskip("arl_plugin_export", reason="it is not installed: pip install arl-plugin-export")
    chosen = {"serial": True, "env_options": {"mission": "tokens"}}
    with APPO(env="minigrid:BabyAI-GoToRedBall-v0", num_workers=1, num_envs_per_worker=1, policy_kwargs=chosen) as model:
        policy = model.policy()
    session = runtime.InferenceSession(str(export.export_onnx(policy, tmp_path / "policy.onnx")))
    rows = {key: np.zeros((3, *part.shape), part.dtype) for key, part in policy.obs_space.spaces.items()}
    rows["direction"] = np.zeros(3, np.int64)
    rows["mission"][:2] = [tokens("go to the red ball"), tokens("open the door, then put the box next to the key")]
    (value,) = session.run(["value"], {f"obs.{key}": part for key, part in rows.items()})
    with torch.no_grad():
        out = policy({key: torch.from_numpy(part) for key, part in rows.items()})
    np.testing.assert_allclose(value, out.value.numpy(), atol=1e-5)
    assert len(set(value.tolist())) == 3
