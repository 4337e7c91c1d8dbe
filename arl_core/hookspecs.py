"""Every hook a plugin may implement. One file, typed, each with a complete example.

A plugin is a separately installed package with an entry point in the group `arl.plugins.v1` whose *name* is the
environment family it provides, or the extension that it is, and the namespace of what it registers::

    # pyproject.toml
    [project.entry-points."arl.plugins.v1"]
    corridor = "arl_plugin_corridor.plugin"

Hooks return descriptions (`arl_core.interfaces`), never live objects: code is named as `"module:attribute"`, and imported
by the process that uses it. So the hook module itself should import neither torch nor the environment.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_type_hints

import pluggy

from arl_core.interfaces import (
    AlgorithmSpec,
    EncoderSpec,
    EnvFamily,
    LossSpec,
    ModelSpec,
    RunInfo,
    RunResult,
    WrapperSpec,
)

PROJECT = "arl"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ArlHooks:
    """The hooks of API version 1."""

    @hookspec
    def arl_environments(self) -> Iterable[EnvFamily]:  # type: ignore[empty-body]  # a specification has no body
        """Environment families, their variants and their typed options.

        Example::

            from arl_core.hookspecs import hookimpl
            from arl_core.interfaces import EnvFamily, EnvSpec

            @hookimpl
            def arl_environments():
                return [
                    EnvFamily(
                        name="corridor",
                        summary="walk to the right end",
                        variants=(EnvSpec(id="short", maker="arl_plugin_corridor.env:make", kwargs={"length": 8}),),
                        default_variant="short",
                        options="arl_plugin_corridor.options:CorridorOptions",
                        encoder="mlp",
                    )
                ]
        """

    @hookspec
    def arl_param_overrides(self, env: str, algo: str) -> Mapping[str, Any] | None:
        """Other defaults for the run's configuration, for `env` (`"family:variant"`). Asked only of the plugin that owns it.

        A mapping of configuration fields (`arl config --env ENV --explain` lists them), or None. What a user sets wins.

        Example::

            @hookimpl
            def arl_param_overrides(env, algo):
                if env == "corridor:long":
                    return {"gamma": 0.999, "rollout": 64}
                return {"gamma": 0.99}
        """

    @hookspec
    def arl_encoders(self) -> Iterable[EncoderSpec]:  # type: ignore[empty-body]
        """Encoders, named `"<plugin>/<name>"`, that any run can use with `--encoder`.

        Example::

            from arl_core.interfaces import EncoderSpec

            @hookimpl
            def arl_encoders():
                return [EncoderSpec(name="corridor/onehot", maker="arl_plugin_corridor.encoder:OneHotEncoder")]

            # arl_plugin_corridor/encoder.py
            class OneHotEncoder(torch.nn.Module):
                def __init__(self, obs_space, cfg):
                    super().__init__()
                    self.output_size = cfg.hidden_size
                    ...
                def forward(self, obs):        # {"obs": [N, ...]} -> [N, output_size]
                    ...
        """

    @hookspec
    def arl_wrappers(self) -> Iterable[WrapperSpec]:  # type: ignore[empty-body]
        """Environment wrappers that any family or run can use by name.

        Example::

            from arl_core.interfaces import WrapperSpec

            @hookimpl
            def arl_wrappers():
                return [
                    WrapperSpec(
                        name="corridor/mirror",
                        maker="arl_plugin_corridor.env:MirrorWrapper",
                        summary="left is right",
                        options="arl_plugin_corridor.options:MirrorOptions",  # pydantic, extra="forbid"
                        vector_maker="arl_plugin_corridor.group:MirrorGroup",  # for environments that step vectorised
                    )
                ]
        """

    @hookspec
    def arl_models(self) -> Iterable[ModelSpec]:  # type: ignore[empty-body]
        """Whole networks, named `"<plugin>/<name>"`, that a run uses with `--model` instead of encoder, core and heads.

        Example::

            from arl_core.interfaces import ModelSpec

            @hookimpl
            def arl_models():
                return [ModelSpec(name="corridor/table", maker="arl_plugin_corridor.model:make_table")]

            # arl_plugin_corridor/model.py
            class Table(torch.nn.Module):
                def __init__(self, obs_space, num_params, cfg):
                    super().__init__()
                    self.params = torch.nn.Linear(obs_space["obs"].shape[0], num_params)
                    self.value = torch.nn.Linear(obs_space["obs"].shape[0], 1)

                def forward(self, obs, state):  # {"obs": [N, ...]}, None -> [N, num_params], [N], None
                    return self.params(obs["obs"]), self.value(obs["obs"]).squeeze(-1), None
        """

    @hookspec
    def arl_algorithms(self) -> Iterable[AlgorithmSpec]:  # type: ignore[empty-body]
        """Algorithms, named `"<plugin>/<name>"`, that a run uses with `--algo`: targets and loss on [T, B] batches.

        Example::

            from arl_core.interfaces import AlgorithmSpec

            @hookimpl
            def arl_algorithms():
                return [
                    AlgorithmSpec(
                        name="corridor/reinforce",
                        maker="arl_plugin_corridor.algorithm:Reinforce",
                        defaults={"with_vtrace": False, "gae_lambda": 1.0},
                    )
                ]

            # arl_plugin_corridor/algorithm.py
            class Reinforce(arl_core.algorithms.base.PolicyGradient):
                def policy_term(self, inputs, cfg):
                    return masked_mean(-inputs.log_probs * inputs.targets.returns, inputs.weights)
        """

    @hookspec
    def arl_losses(self) -> Iterable[LossSpec]:  # type: ignore[empty-body]
        """Auxiliary losses and intrinsic rewards, named `"<plugin>/<name>"`, that a run adds with `--losses`.

        Example::

            from arl_core.interfaces import LossSpec

            @hookimpl
            def arl_losses():
                return [LossSpec(name="corridor/count", maker="arl_plugin_corridor.loss:CountBonus")]

            # arl_plugin_corridor/loss.py
            class CountBonus(arl_core.algorithms.base.AuxiliaryLoss):
                def __init__(self, model, obs_space, action_space, cfg, scale=0.1):
                    super().__init__()
                    ...

                def bonus(self, batch):  # -> [T, B], added to the rewards
                    ...
        """

    @hookspec
    def arl_run_started(self, run: RunInfo) -> None:
        """A call of `train` begins. Extensions alone are told: plugins that the run names in `extensions`.

        Example::

            @hookimpl
            def arl_run_started(run):
                print(run.env, run.config["learning_rate"], "from frame", run.start_frames)
        """

    @hookspec
    def arl_metrics(self, run: RunInfo, frames: int, metrics: Mapping[str, float]) -> None:
        """What TensorBoard shows, every few seconds of training and at its end. Extensions alone are told.

        Example::

            @hookimpl
            def arl_metrics(run, frames, metrics):
                print(frames, metrics.get("returns/mean"), metrics["perf/fps"])
        """

    @hookspec
    def arl_run_finished(self, run: RunInfo, result: RunResult) -> None:
        """A call of `train` has ended; checkpoint and summary are written. Extensions alone are told.

        Example::

            @hookimpl
            def arl_run_finished(run, result):
                print(result.status, result.frames, result.return_mean, result.error)
        """


HOOK_NAMES = tuple(name for name in vars(ArlHooks) if name.startswith("arl_"))


def hook_arguments(hook: str) -> tuple[str, ...]:
    """The names of the arguments with which arl calls a hook."""
    return tuple(inspect.signature(getattr(ArlHooks, hook)).parameters)[1:]


EXTENSION_HOOKS = tuple(hook for hook in HOOK_NAMES if "run" in hook_arguments(hook))


def described_type(hook: str) -> type[Any] | None:
    """The type of what a hook lists, such as EncoderSpec; None for a hook that is asked, or told, something."""
    result = get_args(get_type_hints(getattr(ArlHooks, hook))["return"])
    return None if hook_arguments(hook) or not result else result[0]
