"""Settings that learn, found as README.md tells."""

from __future__ import annotations

from typing import Any

# PPO with minibatches of transitions and targets of GAE (Schulman et al. 2017), synchronous
_FAMILY: dict[str, Any] = {
    "num_workers": 2,
    "num_envs_per_worker": 2,
    "rollout": 512,
    "batch_size": 256,
    "num_batches_per_iteration": 8,
    "ppo_epochs": 10,
    "async_rl": False,
    "with_vtrace": False,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "learning_rate": 5e-4,
    "lr_schedule": "linear",
    "adam_eps": 1e-5,
    "max_grad_norm": 0.5,
    "ppo_clip_ratio": 0.2,
    "ppo_clip_value": 1000.0,  # values are normalised and not clipped
    "exploration_loss_coeff": 0.0,
    "normalize_input": True,
    "normalize_returns": True,
    "actor_critic_share_weights": False,
    "initial_stddev": 0.37,
}
_OF_ROBOT: dict[str, dict[str, Any]] = {
    "HalfCheetah": {"initial_stddev": 0.135},
    # a longer view, wide exploration and small steps: with less of any of them some seeds only learn to stand, see the README
    "Hopper": {"gamma": 0.995, "initial_stddev": 1.0, "learning_rate": 3e-4},
}


def overrides(variant: str) -> dict[str, Any]:
    """Defaults of the run's configuration for a variant, such as "Hopper-v5"."""
    return _FAMILY | _OF_ROBOT.get(variant.rpartition("-")[0], {})
