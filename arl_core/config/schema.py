"""Every field of a run's configuration: declared, documented and checked here, and nowhere else.

Names follow Sample Factory 1.23 where it has the field. The classes group the fields; `RunConfig` is their union.
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from arl_core.config import limits
from arl_core.config.limits import Count, Fraction, Frames, Layers, NonNegative, Positive
from arl_core.interfaces import MAX_PLAYERS

# Older spellings (Sample Factory 1.23, the reference project) and the field that each means here.
LEGACY_NAMES: dict[str, str] = {
    "encoder_type": "encoder",
    "encoder_custom": "encoder",
    "encodersubtype": "encoder_subtype",
    "set_workers_cpu_affinity": "cpu_affinity",
    "default_niceness": "niceness",
    "num_epochs": "ppo_epochs",
}
# Fields, and the word that leaves each to a measurement before the run (docs/command-line.md).
AUTO_WORDS = {"num_workers": "auto", "num_envs_per_worker": "auto", "inference": "measured"}


class RunFields(BaseModel):
    """Run"""

    env: str = Field("maze", description="environment: family, family:variant, gym:<id>, py:module:attr")
    algo: str = Field("appo", description="algorithm: appo, impala, a3c, or a plugin's (my-plugin/name)")
    experiment: str = Field("", description="name of the run; default: <env>-<time>")
    train_dir: str = Field("train_dir", description="folder that holds the run directories")
    seed: int = Field(
        0, ge=0, le=limits.MAX_SEED, description="one seed fixes environments, actions, initialisation and shuffling"
    )
    device: str = Field("auto", description="auto, cpu, gpu (= cuda) or cuda:N; where the learner and central inference run")
    train_for_env_steps: Frames = Field(
        1_000_000,
        description="stop after so many frames (environment transitions); of several policies: for each, on average",
    )
    train_for_seconds: float = Field(0.0, ge=0.0, description="stop after so many seconds (of each resumption); 0: no limit")
    save_every_sec: float = Field(60.0, gt=0.0, description="seconds between checkpoints")
    keep_checkpoints: Positive = Field(3, description="how many of the newest checkpoints to keep")
    save_milestones_sec: float = Field(0.0, ge=0.0, description="seconds between checkpoints that are kept for ever; 0: none")
    save_best_metric: str = Field(
        "return_mean",
        description="keep the checkpoint with the highest: return_mean, length_mean, a metric of the environment, or "
        "eval/return_mean and the like; empty: none",
    )
    save_best_after: Frames = Field(100_000, description="frames before which no checkpoint is taken for the best")
    save_best_every_sec: float = Field(15.0, ge=0.0, description="how often, at most, to look whether there is a new best")
    eval_every_sec: float = Field(0.0, ge=0.0, description="seconds of training between evaluations; 0: none")
    eval_every_frames: Frames = Field(0, description="frames between evaluations during training; 0: none")
    eval_episodes: Positive = Field(10, description="episodes of an evaluation during training")
    eval_deterministic: bool = Field(True, description="these evaluations take the most probable actions, or draw them")
    stats_window: Positive = Field(100, description="episodes over which returns and lengths are averaged")
    heartbeat_timeout_s: float = Field(
        120.0, gt=0.0, description="a process silent for so long is taken for hung, and restarted or the run ended"
    )
    max_worker_restarts: Count = Field(10, description="rollout and policy workers that may die in an hour; more end the run")
    with_pbt: bool = Field(
        False, description="population-based training; with one policy, which has nobody to learn from, a plain run"
    )


class SamplingFields(BaseModel):
    """Sampling"""

    num_workers: int = Field(
        2, ge=1, le=limits.MAX_WORKERS, description="rollout workers (processes), or auto: measured at the start"
    )
    num_envs_per_worker: Positive = Field(16, description="environments that each rollout worker steps, or auto")
    worker_num_splits: int | None = Field(
        None,
        ge=1,
        le=limits.MAX_COUNT,
        description="environment groups per worker; 2 is double-buffered, the default where it hides latency",
    )
    inference: Literal["auto", "measured", "local", "central"] = Field(
        "auto",
        description="where actions are computed: in the rollout workers (local) or in policy workers (central); auto: a rule "
        "of device and network, and a measurement where num_workers or num_envs_per_worker is auto; measured: a measurement",
    )
    policy_workers_per_policy: int | None = Field(
        None,
        ge=1,
        le=limits.MAX_WORKERS,
        description="policy workers for each policy (central inference); default: one on a GPU, on a CPU one per core in use",
    )
    num_policies: int = Field(1, ge=1, le=64, description="policies trained at once (docs/multi-agent.md)")
    policy_assignment: Literal["agent", "random"] = Field(
        "agent",
        description="who plays an agent: agent i policy i modulo num_policies, or a policy drawn for every episode",
    )
    agent_policies: dict[str, int] = Field(default_factory=dict, description="policies of agents by their names")
    self_play_fraction: Fraction = Field(
        0.0, description="episodes in which all agents but one are played by frozen snapshots of their policies; 0: none"
    )
    self_play_snapshots: Positive = Field(4, description="self-play: snapshots of each policy that are kept")
    self_play_every_frames: int = Field(
        100_000, ge=1, le=limits.MAX_FRAMES, description="self-play: frames between snapshots; a new one replaces the oldest"
    )
    rollout: Positive = Field(32, description="steps in a slot: the length of a trajectory, T")
    decorrelate_steps: Count = Field(
        0,
        description="each environment plays between 0 and so many random steps before its first frame, so that episodes do not "
        "begin together",
    )
    slots_per_group: int | None = Field(
        None,
        ge=2,
        le=limits.MAX_COUNT,
        description="rollout slots each environment group owns; default: enough for one batch and one more",
    )
    async_rl: bool = Field(
        True, description="sample while training; otherwise everyone waits until a batch is trained on, and the policy lag is 0"
    )
    serial: bool = Field(False, description="everything in one process, in a fixed order; bit-reproducible")
    sampler_only: bool = Field(False, description="sample and discard: measures the sampler, trains nothing")
    cpu_affinity: bool = Field(False, description="pin each rollout worker to one processor")
    niceness: int = Field(5, ge=0, le=19, description="niceness added to rollout workers and evaluator: learners come first")
    torch_threads: int | None = Field(
        None, ge=1, le=limits.MAX_THREADS, description="CPU threads of learner and evaluate; default: 1, more where that helps"
    )


class ModelFields(BaseModel):
    """Model"""

    encoder: str | None = Field(
        None, description="encoder's name (mlp, nature, maze/grid, ...: docs/encoders.md); default: the environment's"
    )
    model: str | None = Field(None, description="a plugin's whole network (my-plugin/name) instead of encoder, core and heads")
    encoder_subtype: str | None = Field(
        None, description="which network of the encoder: conv with convnet_impala is the encoder convnet_impala"
    )
    hidden_size: int = Field(64, ge=1, le=limits.MAX_WIDTH, description="width of the hidden layers")
    encoder_layers: Layers = Field(2, description="hidden layers of an mlp encoder")
    encoder_extra_fc_layers: int = Field(
        1, ge=0, le=limits.MAX_LAYERS, description="fully connected layers of hidden_size after an encoder's convolutions"
    )
    nonlinearity: Literal["tanh", "relu", "elu"] = Field(
        "tanh", description="activation, but for networks whose definition says which (docs/encoders.md)"
    )
    use_rnn: bool = Field(False, description="recurrent core between encoder and heads")
    rnn_type: Literal["gru", "lstm"] = Field("gru", description="kind of recurrent core")
    rnn_num_layers: Layers = Field(1, description="recurrent cells, one above the other")
    recurrence: int | None = Field(
        None,
        description="steps through which a recurrent core's gradients go back; divides rollout; default or -1: all of it",
    )
    policy_initialization: Literal["orthogonal", "xavier_uniform", "torch_default"] = Field(
        "orthogonal", description="how weights are drawn at first"
    )
    policy_init_gain: float = Field(1.0, gt=0.0, description="initial weights are multiplied by this")
    use_spectral_norm: bool = Field(
        False, description="weights of the encoder's dense layers are divided by their greatest singular value"
    )
    actor_critic_share_weights: bool = Field(True, description="one encoder for policy and value, or one each")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the encoder's products and convolutions; bfloat16 is faster where the processor has it"
    )
    torch_compile: bool = Field(False, description="train with torch.compile, for some tens of seconds at the start")
    normalize_input: bool = Field(False, description="normalise float observations by running mean and variance")
    obs_subtract_mean: float = Field(0.0, description="subtracted from pixel (uint8) observations")
    obs_scale: float = Field(255.0, gt=0.0, description="pixel (uint8) observations are divided by this")
    initial_stddev: float = Field(1.0, gt=0.0, description="initial standard deviation of Gaussian actions")
    min_stddev: float = Field(1e-4, gt=0.0, description="least standard deviation of Gaussian actions")
    adaptive_stddev: bool = Field(
        False, description="the network computes Gaussian actions' deviations; otherwise they are free parameters"
    )
    tanh_squash: bool = Field(
        False, description="Gaussian actions go through tanh and are scaled to their bounds; otherwise clipped to them"
    )


class LearningFields(BaseModel):
    """Learning"""

    batch_size: Positive = Field(1024, description="frames in one optimiser step")
    num_batches_per_iteration: Positive = Field(1, description="batches collected before training on them")
    ppo_epochs: Positive = Field(1, description="passes over the collected batches")
    shuffle_minibatches: bool = Field(
        True,
        description="draw each minibatch anew in every pass (from transitions, or from whole trajectories with V-trace or a "
        "recurrent core); otherwise trajectories in the order in which they came",
    )
    gamma: Fraction = Field(0.99, description="discount")
    gae_lambda: Fraction = Field(0.95, description="lambda of the generalised advantage estimate (without V-trace)")
    with_vtrace: bool = Field(True, description="V-trace targets; otherwise GAE")
    vtrace_rho: NonNegative = Field(1.0, description="V-trace's clipping of the importance weight in the target")
    vtrace_c: NonNegative = Field(1.0, description="V-trace's clipping of the trace coefficient")
    ppo_clip_ratio: float = Field(0.1, gt=0.0, description="policy ratio is clipped to [1/(1+c), 1+c]")
    ppo_clip_value: float = Field(1.0, gt=0.0, description="how far a value may move in one update (absolute)")
    normalize_advantages: bool = Field(True, description="advantages of a batch to zero mean, unit deviation")
    normalize_returns: bool = Field(
        False, description="the critic predicts returns normalised by their running mean and variance (docs/algorithms.md)"
    )
    reward_scale: float = Field(1.0, gt=0.0, description="rewards are multiplied by this for training")
    reward_clip: float = Field(1000.0, gt=0.0, description="scaled rewards are clipped to +- this for training")
    exploration_loss: Literal["entropy", "symmetric_kl"] = Field(
        "entropy", description="entropy bonus, or symmetric KL divergence to the uniform policy (discrete actions)"
    )
    exploration_loss_coeff: NonNegative = Field(0.003, description="coefficient of the exploration loss")
    value_loss_coeff: NonNegative = Field(0.5, description="coefficient of the value loss")
    kl_loss_coeff: NonNegative = Field(0.0, description="coefficient of KL(behaviour || policy)")
    optimizer: Literal["adam", "rmsprop"] = Field("adam", description="what turns gradients into steps")
    learning_rate: float = Field(3e-4, gt=0.0, description="the optimiser's step size")
    lr_schedule: Literal["constant", "linear", "kl_adaptive_minibatch", "kl_adaptive_epoch"] = Field(
        "constant",
        description="linear: falls to zero at train_for_env_steps, or at the end of a call of train that goes further; "
        "kl_adaptive: holds the policy's KL divergence near lr_schedule_kl_threshold, corrected after each minibatch or each "
        "pass over the batch",
    )
    lr_schedule_kl_threshold: float = Field(
        0.008,
        gt=0.0,
        description="adaptive schedules: above twice this KL the rate is divided by 1.5, below half multiplied",
    )
    lr_adaptive_min: float = Field(1e-6, gt=0.0, description="adaptive schedules: the smallest learning rate")
    lr_adaptive_max: float = Field(1e-2, gt=0.0, description="adaptive schedules: the largest learning rate")
    adam_eps: float = Field(1e-6, gt=0.0, description="Adam's epsilon")
    adam_beta1: float = Field(0.9, ge=0.0, lt=1.0, description="Adam's first momentum")
    adam_beta2: float = Field(0.999, ge=0.0, lt=1.0, description="Adam's second momentum")
    rmsprop_alpha: float = Field(0.99, ge=0.0, lt=1.0, description="RMSprop's decay of the mean square")
    rmsprop_eps: float = Field(0.01, gt=0.0, description="RMSprop's epsilon, added to the root")
    rmsprop_momentum: float = Field(0.0, ge=0.0, lt=1.0, description="RMSprop's momentum")
    max_grad_norm: NonNegative = Field(
        4.0, description="gradients, those of further losses included, are clipped to this norm; 0: not clipped"
    )
    losses: list[dict[str, Any]] = Field(
        default_factory=list, description='further losses and intrinsic rewards: names, or [{"name": ..., "options": {...}}]'
    )
    hogwild: bool = Field(
        False,
        description="no learner: each rollout worker applies the gradients of its own rollouts to shared parameters, without "
        "a lock (A3C as published); batch_size is then each worker's own",
    )
    max_policy_lag: Positive = Field(1000, description="slots that lag more optimiser steps than this are dropped")


class RunConfig(RunFields, SamplingFields, ModelFields, LearningFields):
    """The whole configuration of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    env_options: dict[str, Any] = Field(default_factory=dict, description="the environment's own options")
    wrappers: list[dict[str, Any]] = Field(
        default_factory=list, description='further wrappers, outermost last: names, or [{"name": ..., "options": {...}}]'
    )
    extensions: list[str] = Field(
        default_factory=list, description="plugins that are told of the run's beginning, metrics and end: [my-logger]"
    )
    plugins_block: list[str] = Field(default_factory=list, description="distributions whose plugins are not used")
    plugins_allow: list[str] | None = Field(
        None, description="the only distributions or plugins that are used besides the core; also ARL_PLUGINS; default: all"
    )
    plugins_prefer: list[str] = Field(
        default_factory=list, description="distributions that win where two provide one name, the first first"
    )
    plugins_require: list[str] = Field(
        default_factory=list, description="what must be installed for the run to begin, such as arl-plugin-maze>=0.2"
    )

    @property
    def evaluates(self) -> bool:
        """Whether weights are evaluated while they are trained."""
        return self.eval_every_sec > 0 or self.eval_every_frames > 0

    @field_validator("extensions", "plugins_block", "plugins_allow", "plugins_prefer", mode="before")
    @classmethod
    def _names_are_separated_by_commas(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("losses", "wrappers", mode="before")
    @classmethod
    def _a_name_alone_is_an_entry(cls, value: Any) -> Any:
        entries = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
        if not isinstance(entries, list):
            return entries
        return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]

    @field_validator("plugins_require", mode="before")
    @classmethod
    def _one_requirement_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value  # a requirement may have commas of its own

    @field_validator("recurrence")
    @classmethod
    def _minus_one_is_the_rollout(cls, value: int | None) -> int | None:
        if value is not None and value < 1 and value != -1:
            raise ValueError("must be at least 1, or -1 for the whole rollout")
        return None if value == -1 else value

    @field_validator("experiment")
    @classmethod
    def _experiment_is_a_name(cls, value: str) -> str:
        if value in {".", ".."} or "/" in value or "\\" in value:
            raise ValueError("must be a plain folder name; use train_dir for the folder that holds it")
        return value

    @field_validator("train_dir", mode="before")
    @classmethod
    def _train_dir_is_a_path(cls, value: Any) -> Any:
        """What `--train_dir=~/runs` means, in which no shell replaces the `~`."""
        return os.path.expanduser(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else value

    @field_validator("experiment", "train_dir")
    @classmethod
    def _names_files(cls, value: str) -> str:
        if re.search(r"[\x00-\x1f\x7f-\x9f]", value):
            raise ValueError("must be without control characters")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        splits = self.worker_num_splits
        if splits is not None and self.num_envs_per_worker % splits:
            raise ValueError(
                f"num_envs_per_worker ({self.num_envs_per_worker}) must be a multiple of worker_num_splits ({splits})"
            )
        draws_transitions = not (self.with_vtrace or self.use_rnn or self.losses) and self.shuffle_minibatches
        iteration = self.batch_size * self.num_batches_per_iteration
        if (iteration if draws_transitions else self.batch_size) % self.rollout:
            name = "batch_size x num_batches_per_iteration" if draws_transitions else "batch_size"
            raise ValueError(
                f"{name} ({iteration if draws_transitions else self.batch_size}) must be a multiple of rollout "
                f"({self.rollout}): a batch is made of whole trajectories"
            )
        if self.recurrence is not None and self.use_rnn and self.rollout % self.recurrence:
            raise ValueError(
                f"rollout ({self.rollout}) must be a multiple of recurrence ({self.recurrence}): "
                "a trajectory is cut into pieces of that many steps"
            )
        step = self.num_workers * self.num_envs_per_worker
        if not self.async_rl and iteration % (self.rollout * step):
            raise ValueError(
                f"without async_rl, batch_size x num_batches_per_iteration ({iteration}) must be a multiple of rollout x "
                f"environments ({self.rollout} x {step} = {self.rollout * step}): every environment gives the same to each"
            )
        return self

    @model_validator(mode="after")
    def _consistent_hogwild(self) -> RunConfig:
        wrong = {
            "inference central": self.inference == "central",
            "worker_num_splits above 1": (self.worker_num_splits or 1) > 1,
            "num_policies above 1": self.num_policies > 1,
            "self_play_fraction": self.self_play_fraction > 0,
            "no-async_rl": not self.async_rl,
            "serial with more than one worker": self.serial and self.num_workers > 1,
            f"lr_schedule {self.lr_schedule}": self.lr_schedule.startswith("kl_adaptive"),
            "losses of plugins": bool(self.losses),
        }
        if self.hogwild and any(wrong.values()):
            found = next(name for name, is_so in wrong.items() if is_so)
            raise ValueError(
                f"hogwild does not go with {found}: each rollout worker trains by itself. Leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _consistent_limits(self) -> RunConfig:
        if self.initial_stddev < self.min_stddev:
            raise ValueError(f"initial_stddev ({self.initial_stddev}) must not be less than min_stddev ({self.min_stddev})")
        if self.model is not None and self.precision != "float32":
            raise ValueError(f"precision {self.precision} is an encoder's: model '{self.model}' computes as its author says")
        if self.with_pbt and self.num_policies > 1:
            raise ValueError("with_pbt: policies of one run do not learn from each other: docs/experiments.md#populations")
        if self.save_best_metric.startswith("eval/") and not self.evaluates:
            raise ValueError(f"save_best_metric {self.save_best_metric} needs eval_every_sec or eval_every_frames")
        if self.lr_adaptive_min > self.lr_adaptive_max:
            raise ValueError(f"lr_adaptive_min ({self.lr_adaptive_min}) is more than lr_adaptive_max ({self.lr_adaptive_max})")
        return self

    @model_validator(mode="after")
    def _consistent_policies(self) -> RunConfig:
        several = self.num_policies > 1 or self.self_play_fraction > 0
        if several and not self.async_rl:
            raise ValueError("several policies and self-play need async_rl (or serial)")
        if self.agent_policies and self.policy_assignment == "random":
            raise ValueError("agent_policies says who plays whom: policy_assignment must be agent, not random")
        for agent, policy in self.agent_policies.items():
            if not 0 <= policy < self.num_policies:
                raise ValueError(f"agent_policies: '{agent}' has policy {policy}; num_policies is {self.num_policies}")
        if self.num_policies * self.train_for_env_steps > limits.MAX_FRAMES:
            raise ValueError(f"num_policies x train_for_env_steps must be at most {limits.MAX_FRAMES}")
        players = self.num_policies * (1 + (self.self_play_snapshots if self.self_play_fraction > 0 else 0))
        if players > MAX_PLAYERS:
            raise ValueError(f"num_policies x (1 + self_play_snapshots) must be at most {MAX_PLAYERS}, not {players}")
        return self


FIELD_GROUPS: tuple[type[BaseModel], ...] = (RunFields, SamplingFields, ModelFields, LearningFields)
