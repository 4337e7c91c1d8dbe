"""Hours of running, in small: what processes hold (memory, descriptors, threads) does not grow from call to call."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from run_support import nursery_pids, pids_of, small
from tiny_envs import Bandit

from arl_core import APPO

CALLS = 10
ROUNDS = 3  # of CALLS each, the later ones only where something grew
FRAMES = 2_000  # a call: some 500 episodes
MOST_BYTES = 48 * 1024  # private memory that a call may add; a hundred bytes an episode
MOST_BYTES_OF_TRAINER = 3 * MOST_BYTES  # pytest's own process, which keeps what tests say


class Leaky(Bandit):
    """Remembers every episode, and leaves a file open in one of twenty."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.kept = [*getattr(self, "kept", []), bytes(1000)]
        if len(self.kept) % 20 == 0:
            self.files = [*getattr(self, "files", []), Path(__file__).open("rb")]  # noqa: SIM115
        return super().reset(seed=seed, options=options)


def holdings(model: APPO) -> dict[str, tuple[int, int, int]]:
    """Private bytes, descriptors and threads of every process of the run."""
    pids = {"trainer": psutil.Process().pid, **pids_of(model)}
    pids |= {f"nursery-{number}": pid for number, pid in enumerate(nursery_pids(model))}
    found = {}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        found[name] = (process.memory_full_info().uss, process.num_fds(), process.num_threads())
    return found


def grows(name: str, series: np.ndarray[Any, Any]) -> str:
    """What the holdings (calls, 3) of one process say: empty where nothing grows."""
    # Theil and Sen: the median slope of all pairs, which one jump of an allocator does not move
    slope = statistics.median((series[j, 0] - series[i, 0]) / (j - i) for j in range(CALLS) for i in range(j))
    most = MOST_BYTES_OF_TRAINER if name == "trainer" else MOST_BYTES
    told = [f"{slope:,.0f} bytes a call"] if slope > most else []
    for what, values in (("descriptors", series[:, 1]), ("threads", series[:, 2])):
        if values[CALLS // 2 :].min() > values[: CALLS // 2].max():
            told.append(f"{what} {values.tolist()}")
    return "; ".join(told)


def growth(env: Any, inference: str, folder: Path) -> dict[str, str]:
    """What still grows after ROUNDS rounds of calls, by process: caches and pools fill, a leak goes on."""
    fields = {"inference": inference, "train_dir": str(folder), "experiment": "r", "save_every_sec": 0.2}
    found: dict[str, str] = {}
    with small(env, workers=2, **fields) as model:
        for _ in range(4):
            model.train(FRAMES)
        for _ in range(ROUNDS):
            samples = []
            for _ in range(CALLS):
                assert model.train(FRAMES) == 0
                samples.append(holdings(model))
            assert all(sample.keys() == samples[0].keys() for sample in samples)
            told = {name: grows(name, np.array([sample[name] for sample in samples])) for name in samples[0]}
            found = {name: what for name, what in told.items() if what}
            if not found:
                break
    return found


@pytest.mark.parametrize("inference", ["local", "central"])
def test_what_processes_hold_does_not_grow(inference: str, tmp_path: Path) -> None:
    assert growth(Bandit, inference, tmp_path) == {}


def test_an_environment_that_leaks_is_detected(tmp_path: Path) -> None:
    found = growth(Leaky, "local", tmp_path)
    assert found.keys() == {"rollout-0", "rollout-1"}
    assert all("bytes a call" in told and "descriptors" in told for told in found.values())
