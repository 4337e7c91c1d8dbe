"""The vocabulary that every other room speaks: small frozen types and protocols, nothing else.

Types that travel between processes (`ResolvedEnv`, `EnvContext`) pickle and round-trip through JSON. Code is named as
`"module:attribute"` and imported where it is used, so a spawned worker needs neither pluggy nor the plugin's hook module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
MAX_PLAYERS = 127  # policies and snapshots of a run: they are numbered by one signed byte for each frame


class UserError(Exception):
    """A mistake of the user's: shown as one clear line (what, where, nearest valid choice, what to do), exit code 2."""


def load_object(reference: str) -> Any:
    """Import what `"module:attribute"` names. Raises whatever the import raises."""
    module, _, attribute = reference.partition(":")
    value: Any = import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


# --------------------------------------------------------------------------- what plugins describe
@dataclass(frozen=True)
class WrapperRef:
    """A wrapper by its registered name, with its options. It applies where the environment's options equal `when`.
    `in_vector_maker`: what `vector_maker` makes is as this wrapper leaves it; such wrappers come first. Any other wrapper
    that has no vector form means single environments."""

    name: str  # "frame-stack" of the core, "maze/mirror" of plugin maze
    options: Mapping[str, JSON] = field(default_factory=dict)
    when: Mapping[str, JSON] = field(default_factory=dict)
    in_vector_maker: bool = False


@dataclass(frozen=True)
class EnvSpec:
    """One variant of an environment family.

    `maker(*, options, context, **kwargs) -> gymnasium.Env`; `vector_maker(*, options, contexts, **kwargs) -> EnvGroup`,
    where `options` is an instance of the family's options model (or None) and `contexts` has one entry an environment.
    `maker` may also return an environment of several agents (`arl_core.envs.multi_agent.ParallelEnv`: PettingZoo's
    parallel API).
    Both makers of one spec describe the same environment, step for step. `max_episode_steps` is a time limit that the core
    applies around `maker`; a `vector_maker` applies its own. `deterministic=False` says that the same seed and actions need
    not give the same episodes (a simulator with a clock of its own): `arl plugins check` then does not ask for it.
    """

    id: str  # the variant's name, after the colon
    maker: str  # "module:attribute"
    kwargs: Mapping[str, JSON] = field(default_factory=dict)  # for the makers
    max_episode_steps: int | None = None  # steps; None: no limit
    summary: str = ""
    vector_maker: str | None = None
    deterministic: bool = True


@dataclass(frozen=True)
class EnvFamily:
    """An environment family, `name`, with its variants (`name:variant`).

    `options` names a pydantic model with `extra="forbid"`. `aliases` maps whole historical ids to variants
    (`"maze-random-10x10-plus-v0" -> "random-10x10-plus"`). An open-ended family (such as `gym`) has no list of variants but
    `resolver`, a `(variant) -> EnvSpec` that raises `UserError` for one it does not know; it may have `lister`, a
    `() -> Mapping` of the variants that it knows at present to what they are, for people who search (`arl envs PATTERN`).
    """

    name: str  # the entry point's
    summary: str  # a few words
    variants: tuple[EnvSpec, ...] = ()
    default_variant: str | None = None  # what the bare name means
    aliases: Mapping[str, str] = field(default_factory=dict)  # historical id -> variant
    options: str | None = None  # "module:attribute"
    encoder: str | None = None  # its name; None: by the observation space
    wrappers: tuple[WrapperRef, ...] = ()  # innermost first
    resolver: str | None = None  # "module:attribute"
    lister: str | None = None  # "module:attribute"
    docs_url: str = ""


@dataclass(frozen=True)
class EncoderSpec:
    """`maker(obs_space: gymnasium.spaces.Dict, cfg: RunConfig) -> torch.nn.Module`.

    The module has an integer `output_size` and maps `{key: tensor [N, ...]}` (float32, preprocessed; a plain observation
    space has the one key "obs") to `[N, output_size]`.
    """

    name: str  # "my-plugin/name"
    maker: str  # "module:attribute"
    summary: str = ""  # a few words


@dataclass(frozen=True)
class WrapperSpec:
    """`maker(env: gymnasium.Env, **options) -> gymnasium.Env`.

    `options` names a pydantic model with `extra="forbid"`: the options are checked by it where the run is resolved, and
    reach the maker as plain JSON values, defaults filled in. Without it they are checked against the maker's signature.
    `vector_maker(group: EnvGroup, space: gymnasium.Space, **options) -> EnvGroup` does the same, step for step, to a whole
    group whose single environments have the observation space `space` (inside this wrapper). Without it, a run with this
    wrapper steps single environments.
    """

    name: str  # "my-plugin/name"
    maker: str  # "module:attribute"
    summary: str = ""  # a few words
    options: str | None = None  # "module:attribute"
    vector_maker: str | None = None  # "module:attribute"


@dataclass(frozen=True)
class ModelSpec:
    """A whole network: `maker(obs_space: gymnasium.spaces.Dict, num_params: int, cfg: RunConfig) -> torch.nn.Module`.

    `num_params` is the size of the action distribution's parameters. See `arl_core.models.custom.CustomModel` for the module.
    """

    name: str  # "my-plugin/name"
    maker: str  # "module:attribute"
    summary: str = ""  # a few words


@dataclass(frozen=True)
class AlgorithmSpec:
    """`maker() -> arl_core.algorithms.base.Algorithm`. `defaults` are configuration fields, below those of environments."""

    name: str  # "my-plugin/name"
    maker: str  # "module:attribute"
    summary: str = ""  # a few words
    defaults: Mapping[str, JSON] = field(default_factory=dict)  # configuration fields


@dataclass(frozen=True)
class LossSpec:
    """`maker(model, obs_space, action_space, cfg, **options) -> arl_core.algorithms.base.AuxiliaryLoss`. `options` names a
    pydantic model, as for an environment."""

    name: str  # "my-plugin/name"
    maker: str  # "module:attribute"
    summary: str = ""  # a few words
    options: str | None = None  # "module:attribute" of a pydantic model


# --------------------------------------------------------------------------- what crosses into a worker
@dataclass(frozen=True)
class RunParts:
    """The code that a configuration's names mean, as "module:attribute"."""

    encoder: str
    algorithm: str
    model: str | None = None  # instead of encoder, core and heads
    losses: tuple[tuple[str, str, Mapping[str, JSON]], ...] = ()  # name, maker, options
    code: Mapping[str, bytes] = field(default_factory=dict)  # of makers that the user's script defines, by value (cloudpickle)


@dataclass(frozen=True)
class ResolvedEnv:
    """An environment with every question answered: enough to build it in a fresh process, by imports alone."""

    id: str  # canonical "family:variant"
    maker: str
    kwargs: Mapping[str, JSON]
    options_model: str | None  # "module:attribute" of the pydantic model
    options: Mapping[str, JSON]  # validated, dumped to JSON types
    wrappers: tuple[tuple[str, Mapping[str, JSON]], ...]  # (maker, options), innermost first
    max_episode_steps: int | None
    vector_maker: str | None  # makes what `maker` and `wrappers` make, with `vector_wrappers`; None where there is none
    dist: str  # the distribution that provides it, "" for local code
    version: str
    imports: tuple[str, ...] = ()  # modules to import first (they register ids with gymnasium)
    vector_wrappers: tuple[str | None, ...] = ()  # each wrapper's vector form; None: `vector_maker` has it in itself
    code: bytes | None = None  # an environment class given by value (cloudpickle), from the user's own script
    single_because: str = ""  # why there is no `vector_maker` where the plugin has one


@dataclass(frozen=True)
class EnvContext:
    """Where an environment stands in the run. `index` counts all environments of the run, so streams that derive from
    (`run_seed`, `index`) do not depend on the number of workers. `seed` is the stream's first reset seed. An `evaluation`
    plays what is to be reported: whole episodes, where training cuts them or makes them easier."""

    run_seed: int
    index: int
    seed: int
    worker: int = 0
    render_mode: str | None = None
    evaluation: bool = False


# --------------------------------------------------------------------------- what extensions are told
@dataclass(frozen=True, eq=False)
class RunInfo:
    """One call of `train`: the same object, an extension's own, in all of its hooks until it ends, so it may be a key."""

    name: str  # of the run directory; "" where the run writes none
    directory: Path | None  # absolute
    env: str  # "family:variant"
    algo: str
    seed: int
    start_frames: int  # trained before this call, by a resumed run too
    config: Mapping[str, JSON]  # every field of the configuration, resolved


@dataclass(frozen=True)
class RunResult:
    """How a call of `train` ended."""

    status: Literal["completed", "interrupted", "failed"]
    frames: int  # trained in total, those before this call included
    seconds: float  # of training in this call
    return_mean: float | None  # over the last `stats_window` episodes; None before the first has ended
    error: str  # of a call that failed; "" otherwise


# --------------------------------------------------------------------------- the way of a frame
class ArraySpec(NamedTuple):
    """Shape (of one row, without batch axes) and NumPy dtype name."""

    shape: tuple[int, ...]
    dtype: str


class FrameStacking(NamedTuple):
    """An observation array that is the last `frames` frames, oldest first, joined on `axis`; before the first of an episode
    are copies of it, or zeros. An environment says so in `frame_stacks`, key -> FrameStacking: frames are then stored once."""

    frames: int
    axis: int
    copies_first: bool


class StepViews(NamedTuple):
    """Where one step of a group lands: contiguous views of shared memory, one row an environment (or an agent of one).

    `obs` is what the action's transition leads to (row t+1 of the slot); the others are row t. Every entry is written at
    every step.
    """

    obs: Mapping[str, NDArray[Any]]  # key -> [E, ...]
    rewards: NDArray[np.float32]  # [E]
    terminated: NDArray[np.bool_]  # [E]
    truncated: NDArray[np.bool_]  # [E]
    valid: NDArray[np.bool_]  # [E]; False where the step was a reset (next-step autoreset) or the agent is absent: no frame


class EpisodeEnds(NamedTuple):
    """What environments reported about episodes that ended in one step: `rows` [n], each metric [n], NaN where absent."""

    rows: NDArray[np.int64]
    metrics: Mapping[str, NDArray[np.float64]]


class EnvGroup(Protocol):
    """Environments that step together and write straight into given memory: the one interface to the engine.

    Autoreset is next-step: the observation written at an ending is the true final one; the step after it ignores its
    action, resets, writes the new episode's first observation, reward 0 and `valid=False`.

    A group may have `end_episodes(rows: NDArray[np.int64]) -> bool`: the next step resets these rows, as if their episodes
    had ended; False where it cannot (`decorrelate_steps`).
    """

    num_envs: int  # rows: environments, or environments times agents (row = environment * agents + agent)
    obs_specs: Mapping[str, ArraySpec]

    def reset_into(self, obs: Mapping[str, NDArray[Any]]) -> None:
        """Reset every environment with its context's seed; write first observations, key -> [E, ...]."""

    def send(self, actions: NDArray[Any]) -> None:
        """Begin a step with `actions` [E, A] (see `envs.spaces.ActionLayout`); may return before it has ended."""

    def recv_into(self, views: StepViews) -> EpisodeEnds | None:
        """End the step: fill `views`; report metrics of the episodes that ended, None where there is nothing to report."""

    def get_state(self) -> dict[str, NDArray[Any]] | None:
        """All that `set_state` needs to go on bit for bit, arrays of any shape; None where the environments cannot be saved."""

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Return to a saved state. Raises ValueError where it does not fit."""

    def close(self) -> None:
        """Release the environments. Idempotent."""
