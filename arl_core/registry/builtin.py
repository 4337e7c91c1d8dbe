"""What the core itself provides, through everybody's hooks: the families `gym` and `py`, encoders, wrappers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EncoderSpec, EnvFamily, WrapperSpec

# solved (mean return 475 and more) in about 200,000 frames: benchmarks/LOG.md
_CARTPOLE = {
    "num_envs_per_worker": 32,
    "batch_size": 1024,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 4,
    "learning_rate": 2e-3,
    "reward_scale": 0.1,
    "exploration_loss_coeff": 0.0,
    "train_for_env_steps": 400_000,
}
_PARAMS: dict[str, Mapping[str, Any]] = {"gym:CartPole-v0": _CARTPOLE, "gym:CartPole-v1": _CARTPOLE}


@hookimpl
def arl_environments() -> Iterable[EnvFamily]:
    """Environments by Gymnasium id, and the user's own code."""
    return (
        EnvFamily(
            name="gym",
            summary="any id registered with Gymnasium or the legacy gym package: gym:CartPole-v1, gym:<module>:<id>",
            options="arl_core.registry.free_options:ConstructorOptions",
            resolver="arl_core.registry.gym_ids:resolve_gym",
            lister="arl_core.registry.gym_ids:list_gym",
        ),
        EnvFamily(
            name="py",
            summary="local code, an environment class or a callable that returns one: py:my_package.envs:MyEnv",
            options="arl_core.registry.free_options:ConstructorOptions",
            resolver="arl_core.registry.local:resolve_target",
        ),
    )


@hookimpl
def arl_param_overrides(env: str, algo: str) -> Mapping[str, Any] | None:
    """Defaults for Gymnasium's classics."""
    return _PARAMS.get(env) if algo == "appo" else None


@hookimpl
def arl_encoders() -> Iterable[EncoderSpec]:
    """Encoders that any run can use."""
    module = "arl_core.models.encoders"
    return (
        EncoderSpec("auto", f"{module}:default_encoder", "chosen from the observation space"),
        EncoderSpec("mlp", f"{module}:MlpEncoder", "fully connected, for vectors"),
        EncoderSpec("conv", f"{module}:ConvEncoder", "convolutional, for images [C, H, W]"),
        EncoderSpec("multi", f"{module}:MultiInputEncoder", "one encoder a key, for dictionaries"),
    )


@hookimpl
def arl_wrappers() -> Iterable[WrapperSpec]:
    """Wrappers that any family or run can use."""
    module = "arl_core.envs.wrappers"
    return (
        WrapperSpec("pixel-format-chw", f"{module}:PixelFormatChw", "images [H, W, C] -> [C, H, W]"),
        WrapperSpec("grayscale", f"{module}:grayscale", "images [H, W, 3] -> [H, W, 1]"),
        WrapperSpec("frame-stack", f"{module}:frame_stack", "the last observations, joined on their first axis"),
        WrapperSpec("time-limit", f"{module}:time_limit", "truncate after max_episode_steps"),
        WrapperSpec("reward-scale", f"{module}:reward_scale", "multiply rewards by scale"),
    )
