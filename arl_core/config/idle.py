"""Fields that a run was asked for and has no use for: told at its start, so that no wish goes unheard."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from arl_core.config.layers import ResolvedConfig
from arl_core.config.schema import RunConfig


class _Idle(NamedTuple):
    """`fields` have no effect where `when`; `why` ends the sentence."""

    fields: tuple[str, ...]
    when: Callable[[RunConfig], bool]
    why: str


_OF_PROCESSES = (
    "inference", "policy_workers_per_policy", "cpu_affinity", "niceness", "heartbeat_timeout_s", "max_worker_restarts",
)  # fmt: skip
_WITH_EITHER = frozenset({"appo", "a3c"})
# what a plugin's algorithm or whole network reads is its own affair
_IDLE = (
    _Idle(_OF_PROCESSES, lambda cfg: cfg.serial, "in serial mode, which has one process"),
    _Idle(("rnn_type", "rnn_num_layers", "recurrence"), lambda cfg: not cfg.use_rnn and cfg.model is None, "without use_rnn"),
    _Idle(("gae_lambda",), lambda cfg: cfg.with_vtrace and cfg.algo in _WITH_EITHER, "with V-trace (with_vtrace)"),
    _Idle(("gae_lambda", "with_vtrace"), lambda cfg: cfg.algo == "impala", "with impala, which always has V-trace"),
    _Idle(("vtrace_rho", "vtrace_c"), lambda cfg: not cfg.with_vtrace and cfg.algo in _WITH_EITHER, "without with_vtrace"),
    _Idle(("ppo_clip_ratio", "ppo_clip_value"), lambda cfg: cfg.algo in {"impala", "a3c"}, "with impala and a3c"),
    _Idle(
        ("lr_schedule_kl_threshold", "lr_adaptive_min", "lr_adaptive_max"),
        lambda cfg: not cfg.lr_schedule.startswith("kl_adaptive"),
        "without lr_schedule kl_adaptive_minibatch or kl_adaptive_epoch",
    ),
    _Idle(("adam_eps", "adam_beta1", "adam_beta2"), lambda cfg: cfg.optimizer != "adam", "without optimizer adam"),
    _Idle(
        ("rmsprop_alpha", "rmsprop_eps", "rmsprop_momentum"),
        lambda cfg: cfg.optimizer != "rmsprop",
        "without optimizer rmsprop",
    ),
    _Idle(
        ("self_play_snapshots", "self_play_every_frames"), lambda cfg: not cfg.self_play_fraction, "without self_play_fraction"
    ),
    _Idle(
        ("eval_episodes", "eval_deterministic"),
        lambda cfg: not cfg.evaluates,
        "during training without eval_every_sec or eval_every_frames",
    ),
    _Idle(("save_best_after", "save_best_every_sec"), lambda cfg: not cfg.save_best_metric, "without save_best_metric"),
)


def idle_fields(resolved: ResolvedConfig) -> list[str]:
    """A sentence for each reason why fields that the user has named have no effect."""
    cfg = resolved.config
    found = []
    for idle in _IDLE:
        names = [name for name in idle.fields if name in resolved.named] if idle.when(cfg) else []
        if names:
            found.append(f"{', '.join(names)}: no effect {idle.why}")
    return found
