"""Playing episodes with frozen weights and normalisers, on environments of their own."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from arl_core.config import Layer, RunConfig, merge_layers
from arl_core.config.layers import nearest
from arl_core.envs.faults import EnvironmentFault, close_after_use, close_quietly
from arl_core.envs.group import SingleEnvGroup, build_group, make_contexts
from arl_core.envs.make import build_any
from arl_core.envs.multi_agent import MultiAgentGroup, is_parallel
from arl_core.envs.picture import write_png
from arl_core.interfaces import EnvContext, ResolvedEnv, UserError
from arl_core.learning.checkpoint import BEST, load_best, load_file, load_newest, weights_in
from arl_core.models.checking import check_weights
from arl_core.models.policy import PolicyNetwork
from arl_core.models.recipe import ModelRecipe
from arl_core.models.standalone import StandalonePolicy
from arl_core.models.threads import kernel_threads
from arl_core.registry import resolve_env, selection_of
from arl_core.registry.parts import NETWORK_FIELDS, network_parts, refuse_local_parts
from arl_core.registry.provenance import saved_run
from arl_core.registry.runs import check_required, refuse_local_code, with_names
from arl_core.runtime.plan import probe_spaces
from arl_core.runtime.policies import policies_of
from arl_core.sampling.playing import Cast, EpisodesPlay, Evaluation
from arl_core.sampling.replica import action_seed

EVALUATION_INDEX = 1 << 20  # environments of an evaluation are numbered from here: their streams are no training's
MAX_EVALUATION_SEED = 2**32 - 1  # times the above, an environment's number is still an integer of 64 bits
MAX_ROWS = 64

log = logging.getLogger("arl")


def _contexts(cfg: RunConfig, seed: int | None, count: int) -> tuple[list[EnvContext], int]:
    """The contexts of an evaluation's environments and the seed of its actions. `seed` alone chooses them, so that runs of
    different seeds play the same episodes; `run_seed` stays the run's: what is drawn from it, such as a maze, is that of the
    training. Raises UserError."""
    try:
        number = operator.index(seed or 0)
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_EVALUATION_SEED:
        raise UserError(f"seed: expected a whole number from 0 to {MAX_EVALUATION_SEED}, got {seed!r}")
    first = EVALUATION_INDEX * (1 + number)
    contexts = make_contexts(0, first, count, evaluation=True)
    return [replace(context, run_seed=cfg.seed) for context in contexts], action_seed(0, first)


def evaluate_cast(
    cast: Cast, env: ResolvedEnv, cfg: RunConfig, *, episodes: int, deterministic: bool, seed: int | None = None
) -> Evaluation:
    """Play `episodes` episodes. Each of up to 64 environments plays its fixed share, so that short episodes are not
    counted more often than long ones. `seed` (None: 0) chooses the streams of environments and actions, for all runs alike.

    Computes on `torch_threads` threads (None: one), as the evaluator of a run does: the same bits on every machine."""
    if not isinstance(episodes, (int, np.integer)) or episodes < 1:
        raise UserError(f"episodes: expected a whole number of at least 1, got {episodes!r}")
    contexts, action_stream = _contexts(cfg, seed, min(episodes, MAX_ROWS))
    group = build_group(env, contexts)
    try:
        with kernel_threads(cfg.torch_threads or 1):
            play = EpisodesPlay(cast, group, episodes, action_stream, deterministic=deterministic)
            while not play.step():
                pass
        return play.result
    except SystemExit as error:
        raise EnvironmentFault(f"environments of {env.id} ended the process: SystemExit: {error}") from error
    finally:
        close_after_use(group)


def play_picture(
    cast: Cast, env: ResolvedEnv, cfg: RunConfig, *, deterministic: bool, seed: int | None = None
) -> NDArray[np.uint8]:
    """The last picture of one episode, RGB [H, W, 3]. Raises UserError where the environment draws none."""
    contexts, action_stream = _contexts(cfg, seed, 1)
    context = replace(contexts[0], render_mode="rgb_array")
    try:
        instance: Any = build_any(env, context)
    except TypeError as error:  # its maker takes no render_mode
        raise UserError(f"'{env.id}' cannot draw itself: {error}") from error
    try:
        if getattr(instance, "render_mode", None) != "rgb_array":
            raise UserError(f"'{env.id}' cannot draw itself: it has no render mode rgb_array")
        group: MultiAgentGroup | SingleEnvGroup
        if is_parallel(instance):
            group = MultiAgentGroup([instance], [context], env.id, env.max_episode_steps)
        else:
            group = SingleEnvGroup([instance], [context])
        play = EpisodesPlay(cast, group, 1, action_stream, deterministic=deterministic)
        drawn: Any = group.envs[0]
        frame = None
        try:
            while not play.step():
                frame = drawn.render() if len(cast.agents) > 1 else None  # of several, the last step begins another episode
            frame = drawn.render() if frame is None else frame
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(f"'{env.id}' cannot draw itself: {error}") from None
        return np.ascontiguousarray(frame, np.uint8)
    finally:
        close_quietly(instance)


def find_checkpoint(run_dir: Path, name: str, policy: int = 0) -> tuple[dict[str, Any], Path]:
    """The state that `name` means, and its file: "latest" or "best" of a policy of a run, a checkpoint, or a folder of some
    (the newest of it; one with a folder for each policy, such as p0, means that). Raises UserError."""
    folder = run_dir / "checkpoints" / f"p{policy}"
    if name == "best":
        found = load_best(folder / BEST, log.warning)
        if found is None:
            raise UserError(f"{run_dir} has no best checkpoint: save_best_metric and save_best_after say when there is one")
        return found
    path = Path(name)
    if name != "latest" and path.is_file():
        return load_file(path), path
    if name != "latest" and not path.is_dir():
        hint = nearest(name, ("best", "latest"))
        raise UserError(f"checkpoint: no file or folder '{name}'; choose best, latest, or a path.{hint}")
    if name != "latest":
        folder = path / folder.name if (path / folder.name).is_dir() else path
    newest = load_newest(folder, log.warning)
    if newest is None:
        raise UserError(f"{run_dir} has no checkpoint yet" if name == "latest" else f"there is no checkpoint in {path}")
    return newest


class _SavedRun:
    """A run directory's configuration, with `layers` over it, environment and networks. `env` is the environment again where
    that is code of the user's own, which a file alone may not name; `layers` have encoder or model again. Raises UserError."""

    def __init__(self, run_dir: Path, *layers: Layer, env: Any = None) -> None:
        self._run_dir = run_dir
        values, trained = saved_run(run_dir)
        trained.check_installed()
        file = str(run_dir / "config.json")
        resolved = merge_layers([trained.stays_with_its_plugin(Layer(file, values)), *map(with_names, layers)])
        self.cfg, selection = resolved.config, selection_of(resolved)
        check_required(selection)
        if env is None:
            refuse_local_code(self.cfg.env, selection, file)
        refuse_local_parts(self.cfg, NETWORK_FIELDS, resolved.origin, {file})
        env = resolve_env(self.cfg.env if env is None else env, self.cfg.env_options, self.cfg.wrappers, selection)
        trained.check_environment(env)
        self.env = env
        if (env.dist, env.version) != (trained.dist, trained.version):
            log.warning(
                "%s was trained with %s %s; evaluating with %s %s",
                run_dir, trained.dist, trained.version, env.dist, env.version,
            )  # fmt: skip
        obs_space, action_space, self.agents, _ = probe_spaces(env, self.cfg)
        self._recipe = ModelRecipe(obs_space, action_space, self.cfg, network_parts(self.cfg, selection))

    def network(self, checkpoint: str, policy: int) -> tuple[PolicyNetwork, Path]:
        """A policy's network with the weights that `checkpoint` names, and their file."""
        if policy not in range(self.cfg.num_policies):
            raise UserError(
                f"{self._run_dir} has no policy {policy!r}: they are numbered from 0 to {self.cfg.num_policies - 1}"
            )
        found = find_checkpoint(self._run_dir, checkpoint, policy)
        model = self._recipe.build().eval()
        try:
            weights = weights_in(found[0])
            check_weights(model.state_dict(), weights)
        except ValueError as error:
            where = self._run_dir / "config.json"
            raise UserError(f"{found[1]} does not fit the network of {where}: {error}") from None
        model.load_state_dict(weights)
        return model, found[1]

    def cast(self, checkpoint: str, policy: int | None) -> tuple[Cast, Path]:
        """Who plays: every agent its policy, or `policy` all of them; and the file of the first."""
        agents = policies_of(self.cfg, self.agents) if policy is None else (policy,) * max(len(self.agents), 1)
        numbers = sorted(set(agents))
        loaded = [self.network(checkpoint, number) for number in numbers]
        cast = Cast([model for model, _ in loaded], [numbers.index(number) for number in agents], numbers)
        return cast, loaded[0][1]


def load_policy(
    run_dir: str | Path,
    checkpoint: str = "latest",
    env: Any = None,
    policy: int = 0,
    env_options: Mapping[str, Any] | None = None,
    encoder: Any = None,
    model: Any = None,
) -> StandalonePolicy:
    """A trained policy as a plain `torch.nn.Module` on the CPU, without any process of ours. `checkpoint` is "latest", "best",
    a checkpoint file, or a folder of some. `env`, `encoder` and `model` name again what is code of your own ("py:...", or the
    class): a run's file alone names no code to import. `policy` is its number in a run of several. `env_options` are options
    of the environment that are others now, such as a file's place. Raises UserError."""
    options = None if env_options is None else dict(env_options)
    given = {"env_options": options, "encoder": encoder, "model": model}
    layer = Layer("load_policy", {name: value for name, value in given.items() if value is not None})
    return StandalonePolicy(_SavedRun(Path(run_dir), layer, env=env).network(checkpoint, policy)[0])


def evaluate_run(
    run_dir: Path,
    *layers: Layer,
    episodes: int,
    deterministic: bool,
    seed: int | None,
    picture: Path | None,
    checkpoint: str = "latest",
    policy: int | None = None,
    env: str | None = None,
    per_episode: bool = False,
) -> dict[str, Any]:
    """Evaluate the weights that `checkpoint` names (as `find_checkpoint`), `layers` over the saved configuration. Each agent is
    played by its policy, or all by `policy`. `picture` writes an episode's last frame as a PNG; `env` is that of `load_policy`,
    `per_episode` that of `APPO.evaluate`. Raises UserError."""
    run = _SavedRun(run_dir, *layers, env=env)
    cast, file = run.cast(checkpoint, policy)
    result = evaluate_cast(cast, run.env, run.cfg, episodes=episodes, deterministic=deterministic, seed=seed)
    values: dict[str, Any] = {"env": run.env.id, "checkpoint": file.name, **result.summary()}
    if per_episode:
        values |= result.per_episode()
    if picture is not None:
        pixels = play_picture(cast, run.env, run.cfg, deterministic=deterministic, seed=seed)
        try:
            write_png(picture, pixels)
        except OSError as error:
            raise UserError(f"cannot write the picture {picture}: {error.strerror}") from None
        values["picture"] = str(picture)
    return values
