"""What `arl bench` measures, on real environments in real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_support import arl
from tiny_envs import Faulty, Gated, Slow

from arl_core.config.layers import Layer
from arl_core.interfaces import ArraySpec
from arl_core.ipc.slots import SlotShape
from arl_core.registry import run_parts, selection_of
from arl_core.registry.runs import resolve_run
from arl_core.runtime.engine import ComponentFailure
from arl_core.runtime.measuring.bench import Limit, request_of
from arl_core.runtime.measuring.child import measure_in_child
from arl_core.runtime.measuring.parts import PartsRequest, measure_parts
from arl_core.runtime.measuring.traffic import traffic
from arl_core.runtime.nurseries import Nurseries
from arl_core.runtime.plan import RunPlan, available_cores, make_plan


def plan_of(env: Any, **values: Any) -> RunPlan:
    resolved, found = resolve_run(Layer("test", {"env": env, "rollout": 8, "batch_size": 64, **values}), environ={})
    return make_plan(resolved.config, found, run_parts(resolved.config, selection_of(resolved)))


@pytest.fixture
def nurseries() -> Iterator[Nurseries]:
    made = Nurseries()
    yield made
    made.close()


def test_every_part_costs_what_it_costs() -> None:
    parts = measure_parts(PartsRequest(plan_of(Slow), (2,), (2, 4), 0.05))
    assert 0.001 <= parts.environment[2].fastest < 0.003
    assert set(parts.inference) == {(2, "torch"), (2, "numpy"), (4, "torch"), (4, "numpy")}
    assert all(0 < seconds.fastest <= seconds.median for seconds in parts.inference.values())
    assert parts.training is not None
    assert 0 < parts.training.fastest <= parts.training.median


def test_a_reset_is_no_frame() -> None:
    def seconds(**options: Any) -> float:
        plan = plan_of(Slow, env_options=options)
        return measure_parts(PartsRequest(plan, (1,), (1,), 0.05, training=False)).environment[1].fastest

    assert seconds(short=True) == pytest.approx(seconds(), rel=0.5), "a reset takes no time here, and is not counted"


@pytest.mark.parametrize("more", [{}, {"use_rnn": True}])
def test_masks_hold_while_parts_are_measured(more: dict[str, Any]) -> None:
    parts = measure_parts(PartsRequest(plan_of(Gated, **more), (4,), (4,), 0.02))
    assert parts.environment[4].median > 0


def test_parts_come_from_a_process_of_their_own(nurseries: Nurseries) -> None:
    for env in ("maze", "gym:Pendulum-v1"):
        parts = measure_in_child(nurseries, request_of(plan_of(env, num_envs_per_worker=4, num_workers=1), 0.02), 60)
        assert json.loads(json.dumps(parts.to_json()))["build_s"] == parts.build_s
        assert parts.environment.keys() == {4}
        assert parts.training is not None


def test_what_fails_while_parts_are_measured_is_told(nurseries: Nurseries) -> None:
    for what, message in (("raise", "the maze has no exit"), ("exit", "has died"), ("hang", "took too long")):
        plan = plan_of(Faulty, env_options={"what": what, "at": 3}, num_workers=1)
        with pytest.raises(ComponentFailure, match=message):
            measure_in_child(nurseries, request_of(plan, 0.02), 3.0)


def test_the_limit_is_that_of_the_slower_of_cores_and_gpu() -> None:
    assert Limit(3e-6, 1e-6, 1e-6, 2, "cpu").fps == pytest.approx(400_000)
    assert Limit(8e-6, 1e-6, 1e-6, 2, "cuda").fps == pytest.approx(250_000)
    assert Limit(8e-6, 3e-6, 3e-6, 2, "cuda").fps == pytest.approx(1 / 6e-6)


def test_bytes_of_a_frame_follow_from_the_table() -> None:
    shape = SlotShape(
        num_policies=1, num_groups=2, slots_per_group=3, rollout=4, group_size=5, obs={"obs": ArraySpec((10,), "uint8")},
        action_size=1, action_dtype="int64", params_size=2, state_size=0,
    )  # fmt: skip
    least = 10 + 8 + 3 * 4 + 4 + 3
    assert traffic(shape) == pytest.approx({"slot": least + 10 / 4, "batch": least + 10 / 4, "least": least})


def test_bench_from_the_command_line(tmp_path: Path) -> None:
    words = ["--env", "gym:CartPole-v1", "--rounds", "1", "--seconds", "0.6", "--num-workers", "1"]
    done = arl("bench", *words, "--json", "--output", "b.json", cwd=tmp_path, timeout_s=100.0)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "b.json").read_text())
    assert result == json.loads(done.stdout)
    (entry,) = result["rounds"]
    limit = available_cores() / (entry["environment_s"] + entry["inference_s"] + entry["training_s"])
    assert result["limit_fps"] == pytest.approx(limit)
    assert result["efficiency"] == pytest.approx(result["fps"] / limit)
    assert set(entry["processes"]) == {"rollout-0", "learner-0", "trainer"}
    worker, learner = entry["processes"]["rollout-0"], entry["processes"]["learner-0"]
    assert worker["environment"] > worker["inference"] > 0 == worker["training"]
    assert learner["training"] > learner["copies"] > 0 == learner["environment"]
    assert worker["rows_per_s"] == pytest.approx(result["fps"], rel=0.5)
    assert not list(tmp_path.glob("train_dir*")), "it writes no run directory"


def test_bench_tells_a_mistake_in_one_line(tmp_path: Path) -> None:
    for words, message in (
        (["--seconds", "-1"], "--seconds: expected a number greater than 0, got '-1'"),
        (["--rounds", "1.5"], "--rounds: expected a whole number of at least 1, got '1.5'"),
        (["--output", "nowhere/b.json"], f"--output nowhere/b.json: there is no folder {tmp_path / 'nowhere'}"),
        (["--sekonds", "3"], "no flag --sekonds. Did you mean --seconds?"),
    ):
        done = arl("bench", "--env", "maze", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr.strip()) == (2, f"error: {message}")
