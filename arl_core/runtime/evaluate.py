"""Playing episodes with frozen weights and normalisers, on environments of their own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from arl_core.config import Layer, RunConfig, merge_layers
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import build_env
from arl_core.envs.picture import write_png
from arl_core.envs.spaces import ActionLayout, Squash, obs_specs, obs_writer
from arl_core.interfaces import EnvContext, ResolvedEnv, StepViews, UserError
from arl_core.learning.checkpoint import load_newest
from arl_core.models.policy import PolicyNetwork
from arl_core.models.recipe import ModelRecipe
from arl_core.registry import resolve_env, run_parts, selection_of
from arl_core.registry.provenance import Provenance
from arl_core.registry.runs import check_required
from arl_core.runtime.plan import probe_spaces
from arl_core.sampling.replica import action_seed

EVALUATION_INDEX = 1 << 20  # environments of an evaluation are numbered from here: their streams are not the training's
MAX_ROWS = 64
MAX_EPISODE_STEPS = 1_000_000  # an episode that is longer does not end, for all we know

log = logging.getLogger("arl")


@dataclass
class Evaluation:
    """Episodes that were played: returns [n], lengths [n], and what the environment reported of each."""

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, float | int]:
        """Means and deviation."""
        means = {key: float(np.mean(values)) for key, values in sorted(self.metrics.items())}
        return {
            "episodes": len(self.returns),
            "return_mean": float(np.mean(self.returns)),
            "return_std": float(np.std(self.returns)),
            "return_min": float(np.min(self.returns)),
            "return_max": float(np.max(self.returns)),
            "length_mean": float(np.mean(self.lengths)),
            **means,
        }


class _Player:
    """A policy over n rows, with its recurrent state."""

    def __init__(self, model: PolicyNetwork, rows: int, seed: int, deterministic: bool) -> None:
        self._model = model
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._state = torch.zeros(rows, model.state_size) if model.state_size else None
        self._squash = Squash(model.dist.squashed) if model.dist.squashed else None

    def act(self, obs: Mapping[str, NDArray[Any]], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Actions [n, A] as environments take them; memory is emptied in rows whose last step was a reset (`valid` False)."""
        with torch.inference_mode():
            if self._state is not None:
                self._state = self._state * torch.from_numpy(valid).unsqueeze(-1)
            tensors = {key: torch.from_numpy(value) for key, value in obs.items()}
            out = self._model.act(tensors, self._state, self._generator, deterministic=self._deterministic)
            self._state = out.state
            actions: NDArray[Any] = out.actions.numpy()
            return actions if self._squash is None else self._squash(actions)


def evaluate_policy(
    model: PolicyNetwork, env: ResolvedEnv, cfg: RunConfig, *, episodes: int, deterministic: bool, seed: int | None = None
) -> Evaluation:
    """Play `episodes` episodes. Each of up to 64 environments plays its fixed share, so that short episodes are not
    counted more often than long ones. `seed` chooses other environment and action streams than the default ones."""
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, not {episodes}")
    rows = min(episodes, MAX_ROWS)
    first = EVALUATION_INDEX * (1 + (seed or 0))
    group = build_group(env, make_contexts(cfg.seed, first, rows))
    share = np.full(rows, episodes // rows)
    share[: episodes % rows] += 1
    try:
        obs = {k: np.zeros((rows, *spec.shape), spec.dtype) for k, spec in group.obs_specs.items()}
        ended, truncated, valid = np.zeros((3, rows), bool)
        views = StepViews(obs, np.zeros(rows, np.float32), ended, truncated, valid)
        group.reset_into(obs)
        player = _Player(model, rows, action_seed(cfg.seed, first), deterministic)
        result = Evaluation()
        returns, lengths = np.zeros(rows), np.zeros(rows, np.int64)
        while share.any():
            group.send(player.act(obs, views.valid))
            ends = group.recv_into(views)
            returns += views.rewards
            lengths += views.valid
            done = views.terminated | views.truncated
            counted = done & (share > 0)
            for row in np.flatnonzero(counted):
                result.returns.append(float(returns[row]))
                result.lengths.append(int(lengths[row]))
            if ends is not None:
                for key, values in ends.metrics.items():
                    known = values[counted[ends.rows] & ~np.isnan(values)]
                    if known.size:
                        result.metrics.setdefault(key, []).extend(known.tolist())
            share[counted] -= 1
            returns[done], lengths[done] = 0.0, 0
            if lengths.max() > MAX_EPISODE_STEPS:
                raise UserError(f"an episode of '{env.id}' has not ended after {MAX_EPISODE_STEPS:,} steps")
        return result
    finally:
        group.close()


def play_picture(
    model: PolicyNetwork, env: ResolvedEnv, cfg: RunConfig, *, deterministic: bool, seed: int | None = None
) -> NDArray[np.uint8]:
    """The last picture of one episode, RGB [H, W, 3]. Raises UserError where the environment draws none."""
    first = EVALUATION_INDEX * (1 + (seed or 0))
    context = make_contexts(cfg.seed, first, 1)[0]
    context = EnvContext(context.run_seed, context.index, context.seed, render_mode="rgb_array")
    try:
        instance = build_env(env, context)
    except TypeError as error:  # its maker takes no render_mode
        raise UserError(f"'{env.id}' cannot draw itself: {error}") from error
    try:
        if instance.render_mode != "rgb_array":
            raise UserError(f"'{env.id}' cannot draw itself: it has no render mode rgb_array")
        space = instance.observation_space
        write = obs_writer(space)
        layout = ActionLayout(instance.action_space)
        rows = {k: np.zeros((1, *spec.shape), spec.dtype) for k, spec in obs_specs(space).items()}
        player = _Player(model, 1, action_seed(cfg.seed, first), deterministic)
        observation, _ = instance.reset(seed=context.seed)
        valid = np.zeros(1, bool)
        for _ in range(MAX_EPISODE_STEPS):
            if write is None:
                rows["obs"][0] = observation
            else:
                write(observation, rows, 0)
            action = layout.to_env(player.act(rows, valid))[0]
            valid[0] = True
            observation, _, terminated, truncated, _ = instance.step(action)
            if terminated or truncated:
                break
        try:
            frame: Any = instance.render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(f"'{env.id}' cannot draw itself: {error}") from None
        return np.ascontiguousarray(frame, np.uint8)
    finally:
        instance.close()


def load_run(run_dir: Path, *layers: Layer) -> tuple[RunConfig, ResolvedEnv, PolicyNetwork, Path]:
    """Configuration, environment, and network with the newest intact weights of a run directory. Raises UserError.

    `layers` go over the saved configuration.
    """
    file = run_dir / "config.json"
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        values, described = dict(saved["config"]), saved["env"]
        trained = Provenance(str(run_dir), *(str(described[key]) for key in ("id", "dist", "version")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run_dir} is not a run directory: {file.name}: {error}") from None
    trained.check_installed()
    resolved = merge_layers([trained.stays_with_its_plugin(Layer(str(file), values)), *layers])
    cfg, selection = resolved.config, selection_of(resolved)
    check_required(selection)
    env = resolve_env(cfg.env, cfg.env_options, cfg.wrappers, selection)
    if (env.dist, env.version) != (trained.dist, trained.version):
        log.warning(
            "%s was trained with %s %s; evaluating with %s %s",
            run_dir, trained.dist, trained.version, env.dist, env.version,
        )  # fmt: skip
    found = load_newest(run_dir / "checkpoints" / "p0", log.warning)
    if found is None:
        raise UserError(f"{run_dir} has no checkpoint yet")
    obs_space, action_space = probe_spaces(env, cfg)
    model = ModelRecipe(obs_space, action_space, cfg, run_parts(cfg, selection)).build()
    try:
        model.load_state_dict(found[0]["learner"]["model"])
    except (RuntimeError, KeyError) as error:
        raise UserError(f"{found[1]} does not fit the network of {file}: {str(error)[:300]}") from None
    return cfg, env, model, found[1]


def evaluate_run(
    run_dir: Path, *layers: Layer, episodes: int, deterministic: bool, seed: int | None, picture: Path | None
) -> dict[str, float | int | str]:
    """Evaluate a run's newest weights (`layers` as of `load_run`); `picture` also writes an episode's last frame as a PNG."""
    cfg, env, model, checkpoint = load_run(run_dir, *layers)
    result = evaluate_policy(model, env, cfg, episodes=episodes, deterministic=deterministic, seed=seed)
    values: dict[str, float | int | str] = {"env": env.id, "checkpoint": checkpoint.name, **result.summary()}
    if picture is not None:
        pixels = play_picture(model, env, cfg, deterministic=deterministic, seed=seed)
        try:
            write_png(picture, pixels)
        except OSError as error:
            raise UserError(f"cannot write the picture {picture}: {error.strerror}") from None
        values["picture"] = str(picture)
    return values
