"""Two checkouts of arl in turn (A B A B ...), each with its own engine.py: what a change is worth on this machine, today.

    git worktree add ../before COMMIT
    python benchmarks/compare.py ../before . [--rounds 4] [-- --inference central --seconds 5]

Prints FPS and share of the limit of every run, and the ratio B / A of each pair. What follows `--` goes to engine.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any


def measure(checkout: Path, arguments: list[str]) -> dict[str, Any]:
    paths = [str(checkout), *(str(path) for path in sorted(checkout.glob("plugins/*/src")))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(checkout / "benchmarks" / "engine.py"), "--rounds", "1", "--json", *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=checkout).stdout
    result: dict[str, Any] = json.loads(out)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    own, _, others = " ".join(sys.argv[1:]).partition(" -- ")
    arguments = parser.parse_args(own.split())
    ratios = []
    for number in range(arguments.rounds):
        a, b = (measure(path.resolve(), others.split()) for path in (arguments.a, arguments.b))
        ratios.append(b["fps"] / a["fps"])
        shares = f"share {a['efficiency']:.3f}, {b['efficiency']:.3f}"
        print(f"round {number + 1}: A {a['fps']:,.0f}, B {b['fps']:,.0f} FPS; {shares}; B / A {ratios[-1]:.3f}", flush=True)
    print(f"B / A: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
