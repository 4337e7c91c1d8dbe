"""`--num-workers auto`, `--num-envs-per-worker auto`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_support import arl, small

from arl_core.config import RunConfig
from arl_core.config.layers import Layer, merge_layers
from arl_core.runtime.measuring.auto import choose
from arl_core.runtime.measuring.parts import Parts, Seconds

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
    assert (tmp_path / "train_dir/a/run.log").read_text().count("(auto: ") == 1, "measured once"


def test_auto_from_python() -> None:
    with small(workers="auto", envs="auto", serial=True) as model:
        assert model.config.num_workers == 1
        assert model.config.num_envs_per_worker in {1, 4, 16, 64}
