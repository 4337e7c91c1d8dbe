"""Names that users of other libraries bring along, and what to write here: for messages alone, none of them is accepted.

Sample Factory 1.23 and 2, Stable-Baselines3, CleanRL. Spellings that mean exactly a field here are `schema.LEGACY_NAMES`.
"""

from __future__ import annotations

_RND = "losses rnd/rnd, of arl-plugin-rnd; its options: arl plugins show rnd"
_CPC = "losses cpca/cpca, of arl-plugin-cpca; its options: arl plugins show cpca"
_PBT = "a population is several APPO objects: set_parameters, set_hyperparameters (docs/experiments.md#populations)"
_TRACK = "name an extension, a plugin that is told of the metrics: extensions my-logger (docs/hooks/arl_run_started.md)"
_MINIBATCHES = "batch_size is the size of a minibatch, num_batches_per_iteration how many are collected before a pass"

# Sample Factory 1.23 writes its algorithm so; these alone are accepted
ALGORITHMS = {"APPO": "appo", "IMPALA": "impala", "A3C": "a3c"}
# Sample Factory's options that have no meaning here, and why
MOOT_NAMES: dict[str, str] = {
    "decorrelate_experience_max_seconds": "environments are set apart by steps, not by seconds: decorrelate_steps",
    "decorrelate_envs_on_one_worker": "decorrelate_steps sets the environments of one worker apart as well",
    "value_bootstrap": "an episode that a time limit cuts off always bootstraps from the value of its true final observation",
}
FOREIGN_NAMES: dict[str, str] = {
    # Sample Factory
    "experiments_root": "train_dir is the folder that holds the run directories",
    "stats_avg": "stats_window",
    "experiment_summaries_interval": "TensorBoard events are written every two seconds: leave it out",
    "num_minibatches_to_accumulate": _MINIBATCHES,
    "num_batches_to_accumulate": _MINIBATCHES,
    "traj_buffers_excess_ratio": "slots_per_group",
    "force_envs_single_thread": "processes that step environments have one thread each: leave it out",
    "reset_timeout_seconds": "heartbeat_timeout_s",
    "heartbeat_interval": "heartbeat_timeout_s",
    "train_in_background_thread": "the learner is a process of its own: leave it out",
    "learner_main_loop_num_cores": "torch_threads",
    "actor_worker_gpus": "rollout workers act on the CPU, or through policy workers on device (inference central)",
    "serial_mode": "serial",
    "restart_behavior": "--resume goes on with a run, without it a new one begins",
    "load_checkpoint_kind": "arl eval --checkpoint best or latest; --resume takes the newest",
    "batched_sampling": "environments with a vectorised form step batched by themselves: leave it out",
    "rnn_size": "hidden_size",
    "encoder_mlp_layers": "encoder_layers (how many) and hidden_size (units)",
    "encoder_conv_architecture": "encoder convnet_simple, convnet_impala or resnet_impala",
    "env_frameskip": "wrappers frame-skip, or the environment's own option (arl run --env ENV --help)",
    "env_framestack": "wrappers frame-stack, or the environment's own option (arl run --env ENV --help)",
    "pixel_format": "wrappers pixel-format-chw; images of both orders are accepted",
    "eval_env_frameskip": "an evaluation has the frame skip of training: leave it out",
    "max_num_episodes": "arl eval --episodes N",
    "no_render": "arl eval draws nothing without --picture: leave it out",
    "with_wandb": _TRACK,
    "wandb_project": _TRACK,
    "wandb_user": _TRACK,
    "wandb_group": _TRACK,
    "wandb_job_type": _TRACK,
    "wandb_tags": _TRACK,
    "policy_index": "arl eval --policy N",
    "fps": "arl eval draws no video",
    "max_num_frames": "arl eval --episodes N",
    "continuous_actions_sample": "arl eval --no-deterministic",
    "benchmark": "the command is arl bench",
    "use_rnd": _RND,
    "use_cpc": _CPC,
    "cpc_forward_steps": f"steps, an option of {_CPC}",
    "cpc_time_subsample": f"time_subsample, an option of {_CPC}",
    "cpc_forward_subsample": f"step_subsample, an option of {_CPC}",
    "pbt_mix_policies_in_one_env": "policy_assignment random",
    "pbt_period_env_steps": _PBT,
    "pbt_start_mutation": _PBT,
    "pbt_replace_fraction": _PBT,
    "pbt_mutation_rate": _PBT,
    "pbt_replace_reward_gap": _PBT,
    "pbt_replace_reward_gap_absolute": _PBT,
    "pbt_optimize_batch_size": _PBT,
    "pbt_target_objective": _PBT,
    # Stable-Baselines3 and CleanRL
    "total_timesteps": "train_for_env_steps",
    "n_steps": "rollout",
    "num_steps": "rollout",
    "num_envs": "num_workers (processes) x num_envs_per_worker",
    "n_envs": "num_workers (processes) x num_envs_per_worker",
    "n_epochs": "ppo_epochs",
    "update_epochs": "ppo_epochs",
    "num_minibatches": _MINIBATCHES,
    "lr": "learning_rate",
    "anneal_lr": "lr_schedule linear",
    "ent_coef": "exploration_loss_coeff",
    "entropy_coef": "exploration_loss_coeff",
    "vf_coef": "value_loss_coeff",
    "clip_range": "ppo_clip_ratio",
    "clip_coef": "ppo_clip_ratio",
    "clip_vloss": "ppo_clip_value",
    "target_kl": "kl_loss_coeff, or lr_schedule kl_adaptive_epoch with lr_schedule_kl_threshold",
    "norm_adv": "normalize_advantages",
    "env_id": "env",
    "exp_name": "experiment",
    "tensorboard_log": "TensorBoard events are in <train_dir>/<experiment>/tb: leave it out",
    "track": _TRACK,
    "wandb_project_name": _TRACK,
    "wandb_entity": _TRACK,
    "capture_video": "arl eval --picture FILE.png draws the end of an episode",
    "torch_deterministic": "serial runs are reproducible bit for bit: --serial with a seed",
    "cuda": "device",
    "net_arch": "encoder_layers (how many) and hidden_size (units)",
    "activation_fn": "nonlinearity",
    "features_extractor_class": "encoder, of a plugin where it is your own (docs/encoders.md)",
    "normalize_reward": "normalize_returns, or reward_scale",
    "eval_freq": "eval_every_frames",
    "n_eval_episodes": "eval_episodes",
    "save_freq": "save_every_sec",
    "verbose": "logging.getLogger('arl').setLevel('INFO'), or train(n, callback=print): leave it out",
}
