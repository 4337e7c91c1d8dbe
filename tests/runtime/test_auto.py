"""`--num-workers auto`, `--num-envs-per-worker auto`, `--inference measured`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_support import arl, small
from tiny_envs import Bandit

from arl_core.config import RunConfig
from arl_core.config.layers import Layer, merge_layers
from arl_core.registry import run_parts, selection_of
from arl_core.registry.runs import resolve_run
from arl_core.runtime.measuring.auto import choose, settle
from arl_core.runtime.measuring.parts import ON_CPU, Parts, Seconds
from arl_core.runtime.plan import available_cores

BOTH = frozenset({"num_workers", "num_envs_per_worker"})


def parts(training_us: float, **sampling_us: float) -> Parts:
    """`e16=5.0`: 16 environments in a group cost 5 microseconds a frame, acting none."""
    sizes = {int(name[1:]): Seconds(us * 1e-6, us * 1e-6) for name, us in sampling_us.items()}
    acting = {(rows, "torch"): Seconds(0.0, 0.0) for rows in sizes}
    return Parts(sizes, acting, Seconds(training_us * 1e-6, training_us * 1e-6))


@pytest.mark.parametrize(
    ("fields", "measured", "cores", "expected"),
    [
        # a slow environment: every core samples; 64 environments for 32 trajectories
        ({"batch_size": 1024}, parts(1.0, e4=100, e16=99, e64=98), 8, (8, 4)),
        # a vectorised one, which costs less than training: one worker feeds the learner, larger groups are cheaper
        ({"batch_size": 4096}, parts(1.0, e4=3.0, e16=1.2, e64=0.5), 8, (1, 64)),
        # as cheap as four learners' steps: four workers, however many cores there are
        ({"batch_size": 4096}, parts(1.0, e4=6.0, e16=4.0, e64=3.9), 64, (4, 16)),
        # a small batch bounds all environments together
        ({"batch_size": 128}, parts(1.0, e4=100, e16=99), 64, (8, 1)),
        # groups are of equal size
        ({"batch_size": 1024, "worker_num_splits": 3, "num_envs_per_worker": 18}, parts(1.0, e4=100, e16=99), 8, (8, 6)),
        # synchronous: every environment gives the same to each iteration of 32 trajectories
        ({"batch_size": 1024, "async_rl": False}, parts(1.0, e4=100, e16=50), 6, (4, 8)),
        ({"batch_size": 1024, "serial": True}, parts(1.0, e4=100, e16=50), 8, (1, 16)),
    ],
)
def test_choices_follow_from_the_parts(fields: dict[str, Any], measured: Parts, cores: int, expected: tuple[int, int]) -> None:
    cfg = RunConfig.model_validate({"rollout": 32, **fields})
    found = choose(cfg, BOTH, measured, cores)
    assert (found["num_workers"].value, found["num_envs_per_worker"].value) == expected


def test_a_given_number_is_kept_and_bounds_the_other() -> None:
    cfg = RunConfig.model_validate({"batch_size": 1024, "num_envs_per_worker": 32})
    found = choose(cfg, frozenset({"num_workers"}), parts(1.0, e32=100), 8)
    assert {name: choice.value for name, choice in found.items()} == {"num_workers": 2}
    assert "64 environments are as many as" in found["num_workers"].because


def acting(parts: Parts, **us: float) -> Parts:
    """`gpu64=2.0`: acting costs 2 us a row in batches of 64 on a GPU; `cpu4`: in a worker beside it, in batches of 4."""
    ways = {"any": "torch", "gpu": "torch", "cpu": f"{ON_CPU}numpy"}
    parts.inference = {(int(name[3:]), ways[name[:3]]): Seconds(cost * 1e-6, cost * 1e-6) for name, cost in us.items()}
    return parts


@pytest.mark.parametrize(
    ("envs", "measured", "device", "expected"),
    [
        # a GPU answers hundreds of rows in the time in which a core answers four
        (4, acting(parts(20.0, e4=100), cpu4=500, gpu4=100, gpu32=12), "cuda", "central"),
        # a network that is so small that messages, and the GPU's time beside training, cost more
        (4, acting(parts(1.0, e4=5), cpu4=0.5, gpu4=20, gpu32=2.5), "cuda", "local"),
        # the learner sets the pace, whoever acts: central takes of its time
        (4, acting(parts(500.0, e4=10), cpu4=50, gpu4=100, gpu32=50), "cuda", "local"),
        # processors alone: a batch of 32 costs as much a row as one of 4, and messages come to it
        (4, acting(parts(1.0, e4=5), any4=0.5, any32=0.4), "cpu", "local"),
        # ... but for a network that only a large batch makes cheap
        (1, acting(parts(50.0, e1=100), any1=1000, any8=200), "cpu", "central"),
    ],
)
def test_inference_follows_from_the_same_figures(envs: int, measured: Parts, device: str, expected: str) -> None:
    cfg = RunConfig.model_validate({"num_workers": 8, "num_envs_per_worker": envs})
    choice = choose(cfg, frozenset({"inference"}), measured, 8, device)["inference"]
    assert choice.value == expected
    assert f"on {device}" in choice.because


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"inference": "measured"}, {"inference"}),
        ({"num_workers": "auto"}, {"num_workers", "inference"}),
        ({"num_workers": "auto", "inference": "central"}, {"num_workers"}),
        ({"inference": "measured", "hogwild": True}, set()),
    ],
)
def test_inference_is_measured_where_it_is_asked_for_or_costs_nothing(
    given: dict[str, Any], wanted: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"env": Bandit, "num_workers": 1, "num_envs_per_worker": 2, "rollout": 8, "batch_size": 32, **given}
    resolved, env = resolve_run(Layer("test", fields), environ={})
    with caplog.at_level("INFO", logger="arl"):
        settled = settle(resolved, env, run_parts(resolved.config, selection_of(resolved)), None)
    assert {name for name, origin in settled.origins.items() if origin.startswith("auto: ")} == wanted
    assert not settled.auto
    if "inference" in wanted:
        assert settled.config.inference in {"local", "central"}
        assert f"inference {settled.config.inference} (auto: " in caplog.text
    else:
        assert settled.config.inference == given.get("inference", "auto").replace("measured", "auto")


def test_nothing_is_measured_for_the_rule() -> None:
    resolved, env = resolve_run(Layer("test", {"env": Bandit, "inference": "auto"}), environ={})
    assert settle(resolved, env, run_parts(resolved.config, selection_of(resolved)), None) is resolved


def test_auto_is_a_value_of_its_own_until_somebody_stronger_gives_another() -> None:
    resolved = merge_layers([Layer("plugin", {"num_workers": 6}), Layer("command line", {"num_workers": "auto"})])
    assert (resolved.auto, resolved.origin("num_workers")) == ({"num_workers"}, "command line")
    resolved = merge_layers([Layer("file", {"num_workers": "auto"}), Layer("command line", {"num_workers": 3})])
    assert (resolved.auto, resolved.config.num_workers) == (frozenset(), 3)


def test_what_was_chosen_is_logged_saved_and_reused_on_resume(tmp_path: Path) -> None:
    words = ["--env", "gym:CartPole-v1", "--experiment", "a", "--train-for-env-steps", "3000", "--num-envs-per-worker", "auto"]
    shown = arl("config", *words[:2], *words[6:], cwd=tmp_path)
    assert "num_envs_per_worker" in shown.stdout
    assert " auto " in next(line for line in shown.stdout.splitlines() if line.startswith("num_envs_per_worker"))
    done = arl("run", *words, "--num-workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "train_dir/a/config.json").read_text())
    chosen, why = saved["config"]["num_envs_per_worker"], saved["auto"]["num_envs_per_worker"]
    assert chosen in {1, 4, 16, 64}
    assert saved["origins"]["num_envs_per_worker"] == why
    assert why.startswith("auto: microseconds a frame by environments in a group 4: ")
    assert f"num_envs_per_worker {chosen} (auto: microseconds" in (tmp_path / "train_dir/a/run.log").read_text()
    assert saved["config"]["num_workers"] == 1

    again = arl("run", "--resume", "--experiment", "a", "--train-for-env-steps", "6000", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    resumed = json.loads((tmp_path / "train_dir/a/config.json").read_text())
    assert (resumed["config"]["num_envs_per_worker"], resumed["auto"]["num_envs_per_worker"]) == (chosen, why)
    assert (tmp_path / "train_dir/a/run.log").read_text().count("num_envs_per_worker") == 1, "measured once"
    for content in (saved, resumed):
        assert content["config"]["inference"] == content["inference"]["chosen"]
        assert "frames per second expected of local" in content["auto"]["inference"]
    assert saved["inference"]["because"] == "measured at the start"


def test_auto_from_python() -> None:
    with small(workers="auto", envs="auto", serial=True) as model:
        assert model.config.num_workers == 1
        assert model.config.num_envs_per_worker in {1, 4, 16, 64}


@pytest.mark.slow
@pytest.mark.skipif(available_cores() < 2, reason="one core")
@pytest.mark.parametrize(("fields", "is_tried"), [({"hidden_size": 512, "ppo_epochs": 8}, True), ({}, False)])
def test_a_learner_that_is_waited_for_tries_threads(
    fields: dict[str, Any], is_tried: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "arl")
    with small(workers=1, batch_size=256, **fields) as model:
        assert (
            model.train(
                10**8, lambda values: values["seconds"] < (40 if is_tried else 12) and "2 threads train" not in caplog.text
            )
            == 1
        )
        assert model._trainer.engine.balance().exact
    assert ("learner-0: 2 threads train" in caplog.text) == is_tried
