"""What the core itself provides, through everybody's hooks: the families `gym` and `py`, encoders, wrappers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.hookspecs import hookimpl
from arl_core.interfaces import AlgorithmSpec, EncoderSpec, EnvFamily, WrapperSpec

# solved (mean return 475 and more) in about 200,000 frames: benchmarks/LOG.md
_CARTPOLE = {
    "num_envs_per_worker": 32,
    "batch_size": 1024,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 4,
    "learning_rate": 1e-3,
    "reward_scale": 0.1,
    "exploration_loss_coeff": 0.0,
    "train_for_env_steps": 400_000,
}
# these three: docs/benchmarks.md
_ACROBOT = {
    "num_envs_per_worker": 32,
    "batch_size": 1024,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 4,
    "learning_rate": 2e-3,
    "reward_scale": 0.1,
    "train_for_env_steps": 400_000,
}
_PENDULUM = {
    "num_envs_per_worker": 16,
    "batch_size": 1024,
    "num_batches_per_iteration": 2,
    "ppo_epochs": 8,
    "learning_rate": 1e-3,
    "lr_schedule": "linear",
    "gamma": 0.9,
    "with_vtrace": False,
    "gae_lambda": 0.95,
    "normalize_input": True,
    "normalize_returns": True,
    "reward_scale": 0.1,
    "exploration_loss_coeff": 0.0,
    "train_for_env_steps": 500_000,
}
_LUNAR_LANDER = {
    "num_envs_per_worker": 16,
    "async_rl": False,
    "rollout": 64,
    "batch_size": 1024,
    "num_batches_per_iteration": 4,
    "ppo_epochs": 8,
    "ppo_clip_ratio": 0.2,
    "learning_rate": 1e-3,
    "lr_schedule": "linear",
    "gamma": 0.995,
    "with_vtrace": False,
    "gae_lambda": 0.98,
    "reward_scale": 0.02,
    "train_for_env_steps": 1_000_000,
}
_PARAMS: dict[str, Mapping[str, Any]] = {
    "gym:CartPole-v0": _CARTPOLE,
    "gym:CartPole-v1": _CARTPOLE,
    "gym-vector:CartPole-v1": _CARTPOLE,
    "gym:Acrobot-v1": _ACROBOT,
    "gym:Pendulum-v1": _PENDULUM,
    "gym:LunarLander-v2": _LUNAR_LANDER,
    "gym:LunarLander-v3": _LUNAR_LANDER,
}


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
            name="gym-vector",
            summary="ids registered with a Gymnasium VectorEnv, which steps many at once: gym-vector:CartPole-v1",
            options="arl_core.registry.free_options:ConstructorOptions",
            resolver="arl_core.registry.gym_ids:resolve_gym_vector",
            lister="arl_core.registry.gym_ids:list_gym_vector",
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
    return (
        _encoder("auto", "default_encoder", "conv for images, mlp for the rest, multi for both"),
        _encoder("multi", "MultiInputEncoder", "conv for each image, mlp for the rest, side by side"),
        _encoder("mlp", "MlpEncoder", "encoder_layers of hidden_size"),
        _encoder("mlp_mujoco", "mlp_mujoco", "2 layers of hidden_size, tanh (Sample Factory)"),
        _encoder("conv", "ConvEncoder", "convnet_simple; convnet_small for images below 36 px"),
        _encoder("convnet_simple", "convnet_simple", "32@8s4, 64@4s2, 128@3s2 (Sample Factory)"),
        _encoder("convnet_small", "convnet_small", "16@3s1, 32@3s2, 32@3s2, padded: small images, grids"),
        _encoder("convnet_impala", "convnet_impala", "16@8s4, 32@4s2, relu (Mnih et al. 2013, Sample Factory)"),
        _encoder("nature", "nature", "32@8s4, 64@4s2, 64@3s1, relu (Mnih et al. 2015)"),
        _encoder("convnet_test", "convnet_test", "nature, by another name"),
        _encoder("minigrid_convnet_tiny", "minigrid_convnet_tiny", "16@3s1, 32@2s1, 64@2s1 (Sample Factory)"),
        _encoder("resnet", "ResnetEncoder", "resnet_impala"),
        _encoder(
            "resnet_impala",
            "resnet_impala",
            "3 stages of 16, 32, 32 channels, 2 residual blocks each, relu (Espeholt et al. 2018)",
        ),
    )


def _encoder(name: str, maker: str, summary: str) -> EncoderSpec:
    return EncoderSpec(name, f"arl_core.models.encoders:{maker}", summary)


@hookimpl
def arl_wrappers() -> Iterable[WrapperSpec]:
    """Wrappers that any family or run can use."""
    return (
        _wrapper("pixel-format-chw", "PixelFormatChw", "Key", "pixel_format_chw_group", "images [H, W, C] -> [C, H, W]"),
        _wrapper("grayscale", "Grayscale", "Key", "grayscale_group", "colours to brightness: [H, W, 3] -> [H, W, 1]"),
        _wrapper("resize", "Resize", "Resize", "resize_group", "images at another size, by area"),
        _wrapper("frame-stack", "FrameStack", "FrameStack", "FrameStackGroup", "the last k frames, on the channels' axis"),
        _wrapper("frame-skip", "FrameSkip", "FrameSkip", None, "each action skip times, rewards summed"),
        _wrapper("time-limit", "TimeLimit", "TimeLimit", None, "truncate an episode after max_episode_steps"),
        _wrapper("reward-scale", "RewardScale", "RewardScale", "RewardScaleGroup", "multiply rewards by scale"),
        _wrapper("reward-clip", "RewardClip", "RewardClip", "RewardClipGroup", "clip rewards to [low, high], or sign"),
        _wrapper("one-hot", "OneHot", "Key", "one_hot_group", "Discrete and MultiDiscrete -> zeros and ones"),
        _wrapper("flatten-dict", "FlattenDict", "No", "FlattenDictGroup", "Dict or Tuple -> one Box, part after part"),
        _wrapper("mask-from-info", "MaskFromInfo", "MaskFromInfo", None, "info's action mask becomes an observation"),
    )


def _wrapper(name: str, maker: str, options: str, vector_maker: str | None, summary: str) -> WrapperSpec:
    module = "arl_core.envs.wrappers"
    vector = None if vector_maker is None else f"{module}:{vector_maker}"
    return WrapperSpec(name, f"{module}:{maker}", summary, f"{module}.options:{options}Options", vector)


@hookimpl
def arl_algorithms() -> Iterable[AlgorithmSpec]:
    """Algorithms that any run can use; docs/algorithms.md says what tells them apart."""
    module = "arl_core.algorithms"
    return (
        AlgorithmSpec("appo", f"{module}.appo:Appo", "asynchronous PPO: clipped ratio and value, V-trace or GAE targets"),
        AlgorithmSpec(
            "impala",
            f"{module}.impala:Impala",
            "V-trace actor-critic: importance weights in targets and gradient, no clipping",
            {"with_vtrace": True, "ppo_epochs": 1},
        ),
        AlgorithmSpec(
            "a3c",
            f"{module}.a3c:A3c",
            "advantage actor-critic: n-step returns, no clipping, no importance weights",
            {"with_vtrace": False, "gae_lambda": 1.0, "ppo_epochs": 1},
        ),
    )
