"""Deep Sea with and without random network distillation: the figures and the picture of the README.

python plugins/rnd/benchmarks/exploration.py train --seed 1 --output curves                # --coeff 0: without
python plugins/rnd/benchmarks/exploration.py draw curves --picture learning-curve.png       # needs matplotlib
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from deep_sea import DeepSea

from arl_core import APPO

SETTINGS: dict[str, Any] = {"serial": True, "learning_rate": 1e-3, "stats_window": 100}
SOLVED = 0.9  # mean return; 0.99 is the best


def train(seed: int, coeff: float, size: int, frames: int, output: Path) -> None:
    """One run; its curve goes to a file."""
    losses = [{"name": "rnd/rnd", "options": {"coeff": coeff}}] if coeff else []
    curve: list[tuple[int, float]] = []

    def note(now: Any) -> None:
        if now["return_mean"] is not None:
            curve.append((now["frames"], now["return_mean"]))

    settings = {**SETTINGS, "losses": losses, "seed": seed}
    begin = time.perf_counter()
    with APPO(lambda: DeepSea(size, layout=seed), num_workers=1, num_envs_per_worker=32, policy_kwargs=settings) as model:
        model.train(frames, note)
        best = model.evaluate(episodes=1)["return_mean"]
    solved = next((at for at, value in curve if value >= SOLVED), None)
    result = {"seed": seed, "coeff": coeff, "size": size, "solved_at": solved, "evaluation": best, "curve": curve}
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{'rnd' if coeff else 'without'}-{seed}.json").write_text(json.dumps(result))
    print(f"coeff {coeff} seed {seed}: solved at {solved}, greedy return {best:.3f}, {time.perf_counter() - begin:.0f} s")


def draw(folder: Path, picture: Path) -> None:
    """All curves of a folder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for kind, color, label in (("without", "tab:gray", "APPO"), ("rnd", "tab:blue", "APPO with rnd/rnd")):
        for number, file in enumerate(sorted(folder.glob(f"{kind}-*.json"))):
            frames, returns = zip(*json.loads(file.read_text())["curve"], strict=True)
            axes.plot([each / 1000 for each in frames], returns, color=color, lw=1.2, label=None if number else label)
    axes.set(xlabel="frames (thousands)", ylabel="mean return of 100 episodes", ylim=(-0.05, 1.05))
    axes.legend(loc="center left", frameon=False)
    figure.savefig(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--coeff", type=float, default=1.0)
    one.add_argument("--size", type=int, default=20)
    one.add_argument("--frames", type=int, default=500_000)
    one.add_argument("--output", type=Path, default=Path("curves"))
    all_of_them = commands.add_parser("draw")
    all_of_them.add_argument("folder", type=Path)
    all_of_them.add_argument("--picture", type=Path, required=True)
    given = vars(parser.parse_args())
    {"train": train, "draw": draw}[given.pop("command")](**given)


if __name__ == "__main__":
    main()
