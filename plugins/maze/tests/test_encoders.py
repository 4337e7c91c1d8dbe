"""The encoders: shapes, gradients, and that the grid's one knows the way before any training."""

import numpy as np
import pytest
import torch
from arl_plugin_maze import encoders
from arl_plugin_maze.env import MazeEnv
from arl_plugin_maze.observe import AGENT
from arl_plugin_maze.options import MazeOptions
from arl_plugin_maze.solve import distances, shortest_actions
from arl_plugin_maze.task import resolve_task
from gymnasium import spaces

from arl_core import APPO
from arl_core.config import RunConfig
from arl_core.interfaces import EnvContext, UserError
from arl_core.models.encoders import MlpEncoder

KINDS = {
    "position": encoders.PositionEncoder,
    "grid": encoders.GridEncoder,
    "pixels": encoders.PixelsEncoder,
}


def build(observation: str, *, size: int = 5, portals: int = 0, **cfg: object) -> tuple[MazeEnv, torch.nn.Module]:
    task = resolve_task(MazeOptions(observation=observation, portals=portals), kind="random", size=size)
    maze_env = MazeEnv(task, EnvContext(run_seed=3, index=0, seed=0))
    return maze_env, encoders.make_auto(spaces.Dict({"obs": maze_env.observation_space}), RunConfig(**cfg))


@pytest.mark.parametrize(("observation", "portals"), [("position", 0), ("grid", 0), ("grid", 2), ("pixels", 1)])
def test_auto_finds_the_encoder_and_every_parameter_gets_a_gradient(observation: str, portals: int) -> None:
    maze_env, encoder = build(observation, portals=portals, hidden_size=32)
    assert type(encoder) is KINDS[observation]
    seen = [maze_env.reset()[0], *(maze_env.step(action)[0] for action in shortest_actions(maze_env.maze))]
    x = torch.from_numpy(np.stack(seen)).float() / (1 if observation == "position" else 255)
    out = encoder({"obs": x})
    assert out.shape == (len(seen), encoder.output_size)
    assert out.dtype == torch.float32
    out.square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("observation", "wrapper", "kind"),
    [
        ("pixels", "frame-stack", encoders.PixelsEncoder),
        ("grid", "frame-stack", encoders.PixelsEncoder),
        ("position", "frame-stack", MlpEncoder),
        ("grid", "reward-scale", encoders.GridEncoder),
    ],
)
def test_what_wrappers_change_is_no_grid_and_no_position(observation: str, wrapper: str, kind: type) -> None:
    """Four images of three planes are twelve planes, as many as a grid may have."""
    options: dict[str, object] = {"scale": 2.0} if wrapper == "reward-scale" else {}
    wrappers = [{"name": wrapper, "options": options}]
    with APPO(
        "maze:sample-5x5", policy_kwargs={"serial": True, "env_options": {"observation": observation}, "wrappers": wrappers}
    ) as model:
        assert type(model._trainer.models[0].actor.encoder) is kind


@pytest.mark.parametrize("portals", [0, 2])
def test_a_row_does_not_depend_on_its_batch(portals: int) -> None:
    maze_env, encoder = build("grid", portals=portals)
    seen = [maze_env.reset()[0], maze_env.step(1)[0], maze_env.step(2)[0]]
    x = torch.from_numpy(np.stack(seen)).float() / 255
    together = encoder({"obs": x})
    torch.testing.assert_close(together[1:2], encoder({"obs": x[1:2]}))


@pytest.mark.parametrize(("size", "portals"), [(5, 0), (8, 3)])
def test_value_propagation_ranks_the_sides_by_the_true_distance(size: int, portals: int) -> None:
    maze_env, encoder = build("grid", size=size, portals=portals)
    assert isinstance(encoder, encoders.GridEncoder)
    observation, _ = maze_env.reset()
    steps = distances(maze_env.maze)
    cells = range(maze_env.maze.cells - 1)
    planes = np.repeat(observation[None], len(cells), 0).astype(np.float32) / 255
    planes[:, AGENT] = 0
    for row, cell in enumerate(cells):
        x, y = maze_env.maze.position(cell)
        planes[row, AGENT, y, x] = 1
    features = []
    encoder.mlp.forward = lambda x: features.append(x) or x  # type: ignore[method-assign, func-returns-value]
    encoder({"obs": torch.from_numpy(planes)})
    sides = features[0][:, :16].view(-1, 4, 4)  # [cell, side, channel]
    for cell in cells:
        chosen = int(sides[cell, :, 0].argmax())
        assert steps[maze_env.maze.next_cell[cell, chosen]] == steps[cell] - 1, cell


def test_encoders_refuse_what_they_cannot_read() -> None:
    image = spaces.Dict({"obs": spaces.Box(0, 255, (3, 61, 61), np.uint8)})
    position = spaces.Dict({"obs": spaces.Box(0, 4, (2,), np.int64)})
    with pytest.raises(UserError, match="maze/auto"):
        encoders.PositionEncoder(image, RunConfig())
    with pytest.raises(UserError, match="observation grid"):
        encoders.GridEncoder(image, RunConfig())
    with pytest.raises(UserError, match="normalize_input"):
        encoders.make_auto(position, RunConfig(normalize_input=True))
