"""What a user asks for in vain is told; what a plugin sets, or a saved run has, is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arl_core.config import Layer, RunConfig
from arl_core.config.idle import _IDLE, idle_fields
from arl_core.registry import resolve_run


def told(saved: Layer | None = None, config_file: Path | None = None, **values: Any) -> list[str]:
    layer = Layer("command line", {"env": "gym:CartPole-v1", **values})
    return idle_fields(resolve_run(layer, saved=saved, config_file=config_file, environ={})[0])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rnn_type": "gru", "recurrence": 8}, "rnn_type, recurrence: no effect without use_rnn"),
        ({"gae_lambda": 0.9, "with_vtrace": True}, "gae_lambda: no effect with V-trace (with_vtrace)"),
        ({"vtrace_c": 0.9, "with_vtrace": False}, "vtrace_c: no effect without with_vtrace"),
        ({"algo": "impala", "with-vtrace": False}, "with_vtrace: no effect with impala, which always has V-trace"),
        ({"algo": "a3c", "ppo_clip_ratio": 0.1}, "ppo_clip_ratio: no effect with impala and a3c"),
        ({"serial": True, "niceness": 5}, "niceness: no effect in serial mode, which has one process"),
        (
            {"lr_adaptive_min": 1e-5},
            "lr_adaptive_min: no effect without lr_schedule kl_adaptive_minibatch or kl_adaptive_epoch",
        ),
        ({"adam_eps": 1e-5, "optimizer": "rmsprop"}, "adam_eps: no effect without optimizer adam"),
        ({"rmsprop_eps": 1e-5}, "rmsprop_eps: no effect without optimizer rmsprop"),
        ({"self_play_snapshots": 3}, "self_play_snapshots: no effect without self_play_fraction"),
        ({"eval_episodes": 3}, "eval_episodes: no effect during training without eval_every_sec or eval_every_frames"),
        ({"save_best_after": 3, "save_best_metric": ""}, "save_best_after: no effect without save_best_metric"),
    ],
)
def test_told(values: dict[str, Any], sentence: str) -> None:
    assert told(**values) == [sentence]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rnn_type": "lstm", "use_rnn": True},
        {"gae_lambda": 0.9, "with_vtrace": False},
        {"vtrace_c": 0.9, "with_vtrace": True},
        {"lr_adaptive_min": 1e-5, "lr_schedule": "kl_adaptive_epoch"},
        {"eval_episodes": 3, "eval_every_frames": 1000},
    ],
)
def test_not_told(values: dict[str, Any]) -> None:
    assert told(**values) == []


def test_only_what_the_user_names_now(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("rnn_num_layers: 2\n")
    saved = Layer("saved run", {"env": "gym:CartPole-v1", "rnn_type": "lstm", "adam_eps": 1e-3, "optimizer": "rmsprop"})
    assert told(saved, file) == ["rnn_num_layers: no effect without use_rnn"]


def test_every_name_is_a_field() -> None:
    assert {name for idle in _IDLE for name in idle.fields} <= set(RunConfig.model_fields)
