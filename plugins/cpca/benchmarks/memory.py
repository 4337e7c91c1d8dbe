"""Memory tasks with and without CPC|A: the figures of the README.

python plugins/cpca/benchmarks/memory.py --task ring --seed 1 --coeff 0.1     # --coeff 0: without
"""

from __future__ import annotations

import argparse
from typing import Any

from tasks import Recall, Ring

from arl_core import APPO

SETTINGS: dict[str, Any] = {"serial": True, "use_rnn": True, "learning_rate": 1e-3}
SOLVED = 0.8  # mean return of the last 100 episodes; the best is 1 (Recall), about 0.9 (Ring)
TASKS: dict[str, Any] = {"recall": Recall, "ring": Ring}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coeff", type=float, default=0.1)
    parser.add_argument("--task", choices=TASKS, default="ring")
    parser.add_argument("--frames", type=int, default=300_000)
    given = parser.parse_args()
    losses = [{"name": "cpca/cpca", "options": {"coeff": given.coeff}}] if given.coeff else []
    solved: list[int] = []
    last: dict[str, Any] = {}

    def note(now: Any) -> None:
        last.update(now)
        if now["return_mean"] is not None and now["return_mean"] >= SOLVED:
            solved.append(now["frames"])

    settings = {**SETTINGS, "losses": losses, "seed": given.seed}
    with APPO(TASKS[given.task], num_workers=1, num_envs_per_worker=32, policy_kwargs=settings) as model:
        model.train(given.frames, note)
        greedy = model.evaluate(episodes=100)["return_mean"]
    accuracy = last["losses"].get("cpca/cpca/accuracy", float("nan"))
    first = solved[0] if solved else None
    print(f"{given.task} coeff {given.coeff} seed {given.seed}: solved at {first}, greedy return {greedy:.2f},", end=" ")
    print(f"accuracy {accuracy:.2f}, {last['fps']:,.0f} frames/s")


if __name__ == "__main__":
    main()
