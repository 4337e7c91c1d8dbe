"""In runs: resumed bit for bit, and in the engine's processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from arl_core import APPO
from arl_core.learning.checkpoint import load_file

LOSSES = [{"name": "rnd/rnd", "options": {"coeff": 0.1, "update_proportion": 0.5}}]
FIELDS = {"rollout": 8, "batch_size": 128, "losses": LOSSES, "seed": 3}
MAZE = "maze:sample-3x3"


def make() -> APPO:
    return APPO(env=MAZE, num_workers=1, num_envs_per_worker=16, policy_kwargs={**FIELDS, "serial": True})


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """The maze can be saved, so N steps are N/2, save, load, N/2: networks, statistics and generator included."""
    with make() as whole:
        whole.train(2048)
        half = whole.save(tmp_path / "half.pt")
        whole.train(2048)
        expected = load_file(whole.save(tmp_path / "whole.pt"))["learner"]
    with make() as other:
        other.load(half)
        other.train(2048)
        found = load_file(other.save(tmp_path / "other.pt"))["learner"]
    assert found["auxiliaries"]["modules"].keys() >= {"0.scale.start", "0._extra_state", "0.target.1.weight"}
    assert_equal(expected, found)


def assert_equal(a: object, b: object) -> None:
    if isinstance(a, dict):
        assert isinstance(b, dict)
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor)
        assert torch.equal(a, b)
    else:
        assert a == b


def test_it_runs_in_processes_and_shows_its_numbers() -> None:
    numbers = {"rnd/rnd/error", "rnd/rnd/reward", "rnd/rnd/return_stddev"}
    with APPO(env=MAZE, num_workers=1, num_envs_per_worker=16, policy_kwargs=FIELDS) as model:
        assert model.train(100_000, lambda s: not numbers <= s["losses"].keys()) == 1, "it is ended when all are there"
        assert model.train(2_000) == 0


@pytest.mark.slow
def test_it_finds_what_is_never_found_without_it(tmp_path: Path) -> None:
    """One of 2^20 ways (a minute; the README's benchmark, its seed 1)."""
    program = Path(__file__).parents[1] / "benchmarks" / "exploration.py"
    for coeff, found in ((1.0, True), (0.0, False)):
        words = ["train", "--seed", "1", "--coeff", str(coeff), "--frames", "250000", "--output", str(tmp_path)]
        subprocess.run([sys.executable, str(program), *words], check=True, timeout=300, capture_output=True)
        (file,) = tmp_path.glob("*.json")
        assert (json.loads(file.read_text())["solved_at"] is not None) == found
        file.unlink()
