"""What `arl bench` measures, on real environments in real processes."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_support import arl, start_arl
from tiny_envs import Faulty, Gated, Slow

from arl_core.cli.bench import _processes, report
from arl_core.config.layers import Layer
from arl_core.interfaces import ArraySpec, FrameStacking
from arl_core.ipc.slots import SlotShape
from arl_core.ipc.usage import PARTS, USEFUL
from arl_core.registry import run_parts, selection_of
from arl_core.registry.runs import resolve_run
from arl_core.runtime.measuring.bench import BenchOptions, Limit, bench, request_of
from arl_core.runtime.measuring.child import measure_in_child
from arl_core.runtime.measuring.parts import PartsRequest, measure_parts, repeated
from arl_core.runtime.measuring.traffic import traffic
from arl_core.runtime.plan import RunPlan, available_cores, make_plan
from arl_core.runtime.processes.failure import ComponentFailure
from arl_core.runtime.processes.nurseries import TORCH_PRELOAD, Nurseries


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


def test_others_on_the_same_core_make_no_part_dearer() -> None:
    """Wall time doubles at least; what a block of work took is compared with the CPU time that it took itself."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]  # they inherit the core
    cpu_s: list[float] = []
    wall_s: list[float] = []

    def work() -> int:
        begin = time.process_time(), time.perf_counter()
        sum(range(300_000))
        cpu_s.append(time.process_time() - begin[0])
        wall_s.append(time.perf_counter() - begin[1])
        return 1

    try:
        found = repeated(work, 2.0)
    finally:
        os.sched_setaffinity(0, allowed)
        for other in others:
            other.kill()
            other.wait()
    mean_s = statistics.mean(cpu_s)
    assert statistics.mean(wall_s) > 1.5 * mean_s
    assert found.median < 1.3 * mean_s


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


def test_a_nursery_that_dies_is_told_in_one_line() -> None:
    nurseries = Nurseries()
    os.kill(nurseries.get(TORCH_PRELOAD)._process.pid, signal.SIGKILL)
    with pytest.raises(ComponentFailure, match="starts the run's processes has died"):
        measure_in_child(nurseries, request_of(plan_of("maze", num_workers=1), 0.02), 3.0)
    nurseries.close()


def test_the_limit_is_that_of_the_slower_of_cores_and_gpu() -> None:
    assert Limit(3e-6, 1e-6, 1e-6, 2, "cpu").fps == pytest.approx(400_000)
    assert Limit(8e-6, 1e-6, 1e-6, 2, "cuda").fps == pytest.approx(250_000)
    assert Limit(8e-6, 1e-6, 1e-6, 1, "cuda", serial=True).fps == pytest.approx(100_000), "one after the other"
    assert Limit(8e-6, 3e-6, 3e-6, 2, "cuda").fps == pytest.approx(1 / 6e-6)


def test_bytes_of_a_frame_follow_from_the_table() -> None:
    shape = SlotShape(
        num_policies=1, num_groups=2, slots_per_group=3, rollout=4, group_size=5, obs={"obs": ArraySpec((10,), "uint8")},
        action_size=1, action_dtype="int64", params_size=2, state_size=0,
    )  # fmt: skip
    least = 10 + 8 + 3 * 4 + 4 + 3
    moved = {"slot": least + 10 / 4, "batch": least + 10 / 4, "least": least, "stacks": 0}
    assert traffic(shape) == pytest.approx(moved)
    once = replace(shape, stackings={"obs": FrameStacking(5, 0, copies_first=True)})
    least = least - 10 + 2  # a frame is 2 bytes; there are 4 + 5 of them for 4 steps
    moved = {"slot": least + 2 * 5 / 4, "batch": least + 2 * 5 / 4, "least": least, "stacks": 10}
    assert traffic(once) == pytest.approx(moved)


def test_bench_from_the_command_line(tmp_path: Path) -> None:
    words = ["--env", "gym:CartPole-v1", "--rounds", "1", "--seconds", "0.6", "--num-workers", "1"]
    done = arl("bench", *words, "--json", "--output", "b.json", cwd=tmp_path)
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


def test_a_reader_that_stops_in_the_middle_leaves_the_file(tmp_path: Path) -> None:
    words = "--env gym:CartPole-v1 --rounds 1 --seconds 0.2 --num-workers 1 --json --output b.json"
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m arl_core bench {words} | head -c 1"], cwd=tmp_path, timeout=120)
    assert done.returncode == 0
    assert json.loads((tmp_path / "b.json").read_text())["fps"] > 0


def test_a_serial_run_is_taken_apart_and_measured_against_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--env", "gym:CartPole-v1", "--serial", "--rounds", "1", "--seconds", "0.4", "--output", "b.json"]
    monkeypatch.setenv("COLUMNS", "60")
    done = arl("bench", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert done.stdout.startswith("gym:CartPole-v1, appo, 1 core, learner on cpu\n")
    result = json.loads((tmp_path / "b.json").read_text())
    (entry,) = result["rounds"]
    assert result["limit_fps"] == pytest.approx(1 / (entry["environment_s"] + entry["inference_s"] + entry["training_s"]))
    (share,) = entry["processes"].values()
    assert min(share["environment"], share["inference"], share["training"]) > 0
    assert sum(share[part] for part in USEFUL) < 1.1
    assert share["rows_per_s"] == pytest.approx(result["fps"], rel=0.5)


def test_where_every_worker_trains_all_of_it_is_charged() -> None:
    fields = {"algo": "a3c", "hogwild": True, "num_workers": 2, "num_envs_per_worker": 8, "batch_size": 256, "rollout": 32}
    config, env = resolve_run(Layer("test", {"env": "gym:CartPole-v1", **fields}), environ={})
    workers = ("rollout-0", "rollout-1")
    for seconds in (0.8, 5.0, 20.0):  # on a busy machine a worker may not come to a batch in so short a time
        (entry,) = (result := bench(config, env, BenchOptions(seconds, 1, 60.0), lambda _: None))["rounds"]
        if all(entry["processes"][worker]["training"] for worker in workers):
            break
    for worker in workers:
        share = entry["processes"][worker]
        assert share["training"] > share["copies"] > 0
        assert share["other"] < share["training"] / 2
    assert entry["processes"]["learner-0"]["training"] == 0
    assert report(result)[0].endswith("every worker trains (hogwild)")


def test_who_trains_nothing_is_not_measured_against_training() -> None:
    fields = {"sampler_only": True, "num_workers": 1, "num_envs_per_worker": 8, "batch_size": 256, "rollout": 32}
    config, env = resolve_run(Layer("test", {"env": "gym:CartPole-v1", **fields}), environ={})
    (entry,) = bench(config, env, BenchOptions(0.6, 1, 60.0), lambda _: None)["rounds"]
    assert entry["training_s"] == 0
    assert entry["limit_fps"] == pytest.approx(available_cores() / (entry["environment_s"] + entry["inference_s"]))


def test_processes_that_do_not_fit_are_shown_by_their_kind() -> None:
    share = dict.fromkeys((*PARTS, "other", "waiting", "no_core"), 0.25)
    processes = {f"rollout-{number}": {**share, "training": number / 100} for number in range(9)} | {"trainer": share}
    lines = _processes(processes, 60)
    assert lines[0].split() == ["9", "x", "rollout", "trainer"]
    assert next(line for line in lines if "training" in line).split() == ["training", "4.0", "25.0"]
    assert len(_processes(processes, 130)[0].split()) == 10


def test_a_signal_ends_a_measurement_without_a_result(tmp_path: Path) -> None:
    process = start_arl(
        "bench", "--env", "gym:CartPole-v1", "--seconds", "2", "--rounds", "1", "--num-workers", "1", cwd=tmp_path
    )
    assert process.stderr is not None
    while "run" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "")


def test_bench_tells_a_mistake_in_one_line(tmp_path: Path) -> None:
    for words, message in (
        (["--seconds", "-1"], "--seconds: expected a number greater than 0, got '-1'"),
        (["--rounds", "1.5"], "--rounds: expected a whole number of at least 1, got '1.5'"),
        (["--output", "nowhere/b.json"], f"--output nowhere/b.json: there is no folder {tmp_path / 'nowhere'}"),
        (["--output", "."], "--output .: that is a folder; name a file"),
        (["--sekonds", "3"], "no flag --sekonds. Did you mean --seconds?"),
    ):
        done = arl("bench", "--env", "maze", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr.strip()) == (2, f"error: {message}")
