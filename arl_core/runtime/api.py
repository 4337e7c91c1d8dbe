"""The Python interface: `APPO(env=..., ...).train(n)`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from arl_core.config import Layer, RunConfig, merge_layers
from arl_core.config.layers import check_moot, nearest
from arl_core.config.limits import MAX_FRAMES
from arl_core.envs.group import make_contexts
from arl_core.envs.make import build_env
from arl_core.envs.spaces import ActionLayout, Squash
from arl_core.interfaces import UserError
from arl_core.learning.checkpoint import checkpoints, load_file
from arl_core.learning.learner import LIVE_HYPERPARAMETERS
from arl_core.models.standalone import StandalonePolicy
from arl_core.monitoring.episodes import EpisodeStatistics
from arl_core.monitoring.snapshot import Snapshot
from arl_core.registry import resolve_run
from arl_core.runtime.constructing import check_keywords
from arl_core.runtime.evaluate import EVALUATION_INDEX, evaluate_cast
from arl_core.runtime.predicting import as_rows, as_starts, as_state
from arl_core.runtime.records import Records
from arl_core.runtime.rundir import RunDirectory
from arl_core.runtime.trainer import Outcome, Trainer
from arl_core.sampling.playing import Cast
from arl_core.spaces import children_of

LAYOUT = Layer("APPO", {"num_workers": 8, "num_envs_per_worker": 2})  # where the environment's plugin sets neither
Callback = Callable[[Mapping[str, Any]], bool | np.bool_ | None]


class Status(int):
    """How a call of `train` ended: equal to 0 (success), 1 (interrupted) or 2 (failure), with what it came to."""

    frames: int  # trained, in total
    fps: float  # frames per second, over all training so far, or since a checkpoint was loaded
    return_mean: (
        float | None
    )  # over the last `stats_window` episodes, in the environment's own rewards; None before one has ended
    error: str  # of a failure; "" otherwise

    SUCCESS: ClassVar[int] = Outcome.SUCCESS
    INTERRUPTED: ClassVar[int] = Outcome.INTERRUPTED
    FAILURE: ClassVar[int] = Outcome.FAILURE

    @classmethod
    def of(cls, outcome: Outcome, snapshot: Snapshot | None, return_mean: float | None, error: str) -> Status:
        """A status with its statistics."""
        status = cls(outcome)
        status.frames = snapshot.frames if snapshot else 0
        status.fps = snapshot.fps_total if snapshot else 0.0
        status.return_mean = return_mean
        status.error = error
        return status

    def __repr__(self) -> str:
        error = f", error={self.error!r}" if self.error else ""
        return f"Status({Outcome(self).name.lower()}, frames={self.frames}, return_mean={self.return_mean}{error})"


class APPO:
    """Asynchronous PPO on one environment family (Petrenko et al., 2020).

    `env` is a name (`arl run --env`), a `gymnasium.Env` class, or a callable that makes one. `policy_kwargs` takes any field
    of the run's configuration. What is left out has the defaults of `arl run`, the environment's plugin's among them; where
    that says nothing of workers, there are 8 with 2 environments each. The constructor starts no process; a wrong name or value
    is a `UserError` here.
    Processes start with the first `train` and live, environments and all, until `close` (or the end of the `with` block).
    With `experiment` in `policy_kwargs` the run has a directory like that of `arl run` (`run.log` at the level of the logger
    `arl`); without, it writes nothing.
    """

    algo = "appo"

    def __init__(
        self,
        env: Any,
        encoder: str | Callable[..., nn.Module] | None = None,
        encodersubtype: str | None = None,
        num_envs_per_worker: int | Literal["auto"] | None = None,
        num_workers: int | Literal["auto"] | None = None,
        device: str | torch.device = "cpu",
        policy_kwargs: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        given: dict[str, Any] = {
            "env": env,
            "algo": self.algo,
            "encoder": encoder,
            "encoder_subtype": encodersubtype,
            "num_envs_per_worker": num_envs_per_worker,
            "num_workers": num_workers,
            "device": str(device),
        }
        if not isinstance(policy_kwargs, (Mapping, NoneType)):
            raise UserError(f"policy_kwargs: expected a dict of configuration fields, got {policy_kwargs!r}")
        arguments = {name: value for name, value in given.items() if value is not None or name == "env"}
        check_keywords(type(self).__name__, arguments, policy_kwargs or {}, fields)
        layers = Layer("arguments", arguments), Layer("policy_kwargs", dict(policy_kwargs or {}))
        resolved, self.resolved_env = resolve_run(*layers, layout=LAYOUT)
        cfg = resolved.config
        self.algo = cfg.algo
        directory = _directory(Path(cfg.train_dir) / cfg.experiment) if cfg.experiment else None
        self._records = Records(None if directory is None else directory.path)
        try:
            with self._records.open():
                self._trainer = Trainer(resolved, self.resolved_env, directory)
        except BaseException:
            if directory is not None:
                directory.close()
            raise

    def __repr__(self) -> str:
        cfg, snapshot = self.config, self._trainer.snapshot
        frames = snapshot.frames if snapshot else 0
        workers = f"num_workers={cfg.num_workers}, num_envs_per_worker={cfg.num_envs_per_worker}"
        return f"{type(self).__name__}({self.resolved_env.id!r}, {workers}, frames={frames})"

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self._trainer.cfg

    @property
    def observation_space(self) -> gym.Space[Any]:
        """What a policy observes: the environment's space after the run's wrappers; of several agents, that of each."""
        space: gym.Space[Any] = self._trainer.plan.recipe.obs_space
        return space

    @property
    def action_space(self) -> gym.Space[Any]:
        """What a policy answers; of several agents, each of them."""
        space: gym.Space[Any] = self._trainer.plan.recipe.action_space
        return space

    # ----------------------------------------------------------------- training

    def train(self, train_for_env_steps: int, callback: Callback | None = None) -> Status:
        """Train on `train_for_env_steps` more frames for each policy, on average over the policies; blocks.

        Overshoots by at most the frames of one iteration (`batch_size` x `num_batches_per_iteration`) of each policy. Raises
        UserError for a number that is none and in a closed model; what ends the run's processes is a `Status.FAILURE`.

        `callback` receives statistics (`frames`, `fps`, `return_mean`, `length_mean`, `episodes`, `policy_lag_mean`, `losses`,
        `metrics`, `evaluation`, `policies`) a few times a second; when it returns False the call ends as interrupted.
        """
        frames = _whole(train_for_env_steps)
        most = MAX_FRAMES // self.config.num_policies
        if frames is None or not 0 <= frames <= most:
            got = f"got {train_for_env_steps!r}"
            raise UserError(f"train: expected a whole number of frames, such as 100_000, and at most {most}, {got}")
        _check_callback(callback)
        trainer = self._trainer

        def observer(snapshot: Snapshot, episodes: EpisodeStatistics) -> bool | None:
            self._records.write(snapshot, episodes)
            answer = callback(_statistics(snapshot, episodes)) if callback is not None else None
            return bool(answer) if isinstance(answer, np.bool_) else answer  # a comparison of the user's, such as mean < 195

        with self._records.open():
            outcome = trainer.train(frames, observer=observer, additional=True)
            if outcome is not Outcome.FAILURE and trainer.snapshot is not None and trainer.episodes is not None:
                self._records.write(trainer.snapshot, trainer.episodes)
        mean = trainer.episodes.return_mean if trainer.episodes else None
        return Status.of(outcome, trainer.snapshot, mean, str(trainer.failure or ""))

    def set_hyperparameters(self, **values: Any) -> None:
        """Change hyperparameters of the running learner (learning_rate, gamma, exploration_loss_coeff, ...).

        Raises UserError for a field that cannot change while running, or a value that is not valid.
        """
        for name in values:
            if name not in LIVE_HYPERPARAMETERS:
                check_moot(name)
                known = ", ".join(sorted(LIVE_HYPERPARAMETERS))
                raise UserError(f"'{name}' cannot change in a running learner.{nearest(name, LIVE_HYPERPARAMETERS)} ({known})")
        base = Layer("present configuration", self.config.model_dump())
        merged = merge_layers([base, Layer("set_hyperparameters", values)]).config
        self._trainer.set_hyperparameters(merged, values)

    # ----------------------------------------------------------------- weights

    def get_parameters(self) -> dict[int, dict[str, Tensor]]:
        """`{policy: {name: tensor}}`, state_dicts: CPU tensors by value, float32 weights and normalisers."""
        return {policy: self._trainer.state_dict(policy) for policy in range(self.config.num_policies)}

    def set_parameters(self, parameters: Mapping[int, Mapping[str, Tensor] | str | Path]) -> None:
        """Act with other weights from the very next frame; policies that are not named keep theirs.

        Values are state_dicts (weights), or a checkpoint file or its directory (weights, optimiser, counters, normalisers).
        Raises UserError, and changes nothing, where something is missing, unknown or of another shape.
        """
        known = range(self.config.num_policies)
        if not isinstance(parameters, Mapping) or not parameters or not set(parameters) <= set(known):
            has = f"policies 0 to {len(known) - 1}" if len(known) > 1 else "policy 0"
            got = list(parameters) if isinstance(parameters, Mapping) else type(parameters).__name__
            raise UserError(f"set_parameters needs a dict of policy numbers, such as {{0: ...}}; this run has {has}, not {got}")
        paths = {policy: Path(value).absolute() for policy, value in parameters.items() if isinstance(value, (str, Path))}
        weights: dict[int, Any] = {policy: value for policy, value in parameters.items() if policy not in paths}
        if weights and paths:
            raise UserError("set_parameters: give state_dicts or checkpoints, not some of each")
        if paths:
            self._load({policy: _checkpoint_file(path, policy) for policy, path in paths.items()})
            return
        try:
            self._trainer.load_state_dicts(weights)
        except ValueError as error:
            raise UserError(f"set_parameters: {error}") from None

    def save(self, path: str | Path) -> Path:
        """Write one checkpoint atomically: to `path` if it ends in `.pt`, otherwise into that directory, beside those that are
        there. Several policies have one each, in folders p0, p1, ... of it. Returns that of policy 0. Raises UserError."""
        return self._trainer.engine.save(Path(path).absolute())

    def load(self, path: str | Path) -> None:
        """Go on from a checkpoint file, or the newest of a directory (of each policy). Nothing in it is executed. Raises
        UserError, and changes nothing, where there is none, or where it is damaged or does not fit."""
        count = self.config.num_policies
        place = Path(path).absolute()
        if count > 1 and place.is_file():
            raise UserError(f"{place} is of one policy, and this run has {count}: name the folder of p0, p1, ...")
        self._load({policy: _checkpoint_file(place, policy) for policy in range(count)})

    def _load(self, files: Mapping[int, Path]) -> None:
        self._trainer.load_checkpoints({policy: (file, load_file(file)) for policy, file in files.items()})

    # ----------------------------------------------------------------- playing

    def evaluate(
        self,
        episodes: int = 10,
        deterministic: bool = True,
        seed: int | None = None,
        policy: int | None = None,
        per_episode: bool = False,
    ) -> dict[str, Any]:
        """Play episodes on environments of their own, with the present weights and frozen normalisers. Every agent is played by
        its policy, or all by `policy`; each has a return of its own.

        Returns `episodes`, `return_mean`, `return_std`, `return_min`, `return_max` (sums of the environment's own rewards),
        `length_mean` (steps) and the means of what the environment reports; with `per_episode` also `returns` and `lengths`, a
        list each, an entry an episode (and agent) in the order in which they ended. Raises UserError.
        """
        trainer = self._trainer
        trainer.read_weights()
        agents = trainer.plan.agent_policies
        if policy is not None:
            self._check_policy(policy)
            agents = (policy,) * len(agents)
        result = evaluate_cast(
            Cast(trainer.models, agents), self.resolved_env, self.config,
            episodes=episodes, deterministic=deterministic, seed=seed,
        )  # fmt: skip
        return {**result.summary(), **(result.per_episode() if per_episode else {})}

    def predict(
        self,
        observation: Any,
        state: NDArray[np.float32] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
        policy: int = 0,
    ) -> tuple[Any, NDArray[np.float32] | None]:
        """Actions for one observation [...] or a batch [N, ...], as Stable-Baselines3's `predict`: (actions, state [N, H]).
        Actions have the space's dtype; a batch of Dict or Tuple ones is a list. Raises UserError for another shape.

        The weights are those of the last `train`, `set_parameters`, `get_parameters` or `evaluate`.
        """
        self._check_policy(policy)
        model, recipe = self._trainer.models[policy], self._trainer.plan.recipe
        rows, batched = as_rows(observation, recipe.obs_space)
        count = len(next(iter(rows.values())))
        memory = None
        if model.state_size:
            memory = torch.from_numpy(as_state(state, count, model.state_size))
            if episode_start is not None:
                memory = memory * torch.from_numpy(~as_starts(episode_start, count)).unsqueeze(-1)
        with torch.inference_mode():
            tensors = {key: torch.from_numpy(value) for key, value in rows.items()}
            out = model.act(tensors, memory, None, deterministic=deterministic)
        columns: NDArray[Any] = out.actions.numpy()
        if model.dist.squashed:
            columns = Squash(model.dist.squashed)(columns)
        actions: Any = ActionLayout(recipe.action_space).to_env(columns)
        if children_of(recipe.action_space) is None:
            actions = np.asarray(actions)
        return (actions if batched else actions[0]), (None if out.state is None else out.state.numpy())

    def policy(self, policy: int = 0) -> StandalonePolicy:
        """The present policy as a plain `torch.nn.Module` on the CPU: a copy, which further training does not change."""
        self._check_policy(policy)
        network = self._trainer.plan.recipe.build()
        network.load_state_dict(self._trainer.state_dict(policy))
        return StandalonePolicy(network)

    def _check_policy(self, policy: int) -> None:
        if policy not in range(self.config.num_policies):
            raise UserError(f"there is no policy {policy!r}: they are numbered from 0 to {self.config.num_policies - 1}")

    def get_env(self) -> gym.Env[Any, Any]:
        """A new environment as this run steps it (with its own stream). Raises UserError for one of several agents."""
        return build_env(self.resolved_env, make_contexts(self.config.seed, EVALUATION_INDEX, 1)[0])

    # ----------------------------------------------------------------- end

    def close(self) -> None:
        """End this run's processes. Idempotent; weights can still be read."""
        self._trainer.close()
        self._records.close()

    def __enter__(self) -> APPO:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class IMPALA(APPO):
    """V-trace actor-critic (Espeholt et al., 2018): APPO without clipping. What the class sets is below `policy_kwargs`."""

    algo = "impala"


class A3C(APPO):
    """Advantage actor-critic (Mnih et al., 2016): n-step returns, without clipping and importance weights."""

    algo = "a3c"


def _directory(path: Path) -> RunDirectory:
    advice = f"Choose another experiment or train_dir; load({str(path)!r}) goes on there"
    return RunDirectory(path, resume=False, advice=advice, shared=True)


def _statistics(snapshot: Snapshot, episodes: EpisodeStatistics) -> dict[str, Any]:
    return {
        "frames": snapshot.frames,
        "seconds": snapshot.seconds,
        "fps": snapshot.fps,
        "episodes": episodes.total,
        "return_mean": episodes.return_mean,
        "length_mean": episodes.length_mean,
        "policy_lag_mean": snapshot.policy_lag_mean,
        "losses": dict(snapshot.losses),
        "metrics": episodes.metric_means,
        "evaluation": dict(snapshot.evaluation),
        "policies": [asdict(policy) for policy in snapshot.policies],
    }


def _check_callback(callback: Any) -> None:
    if callback is not None and not callable(callback):
        told = "train: callback is a function of the statistics, which may return False to end the call"
        raise UserError(f"{told}; got {callback!r}")


def _whole(number: Any) -> int | None:
    """The whole number that `number` is, whatever its type (int, NumPy's, 1e5); None where it is none."""
    if isinstance(number, (float, np.floating)):
        return int(number) if number.is_integer() else None
    try:
        return operator.index(number)
    except TypeError:
        return None


def _checkpoint_file(path: Path, policy: int) -> Path:
    if path.is_file():
        return path
    own = f"p{policy}"
    for folder in (path / own, path / "checkpoints" / own, path):
        found = checkpoints(folder)
        if found:
            return found[0]
    raise UserError(f"there is no checkpoint at {path}")
