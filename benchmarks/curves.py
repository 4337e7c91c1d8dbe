"""Draws the learning curves that benchmarks/environments.py recorded, a panel for each environment, with matplotlib:

    python benchmarks/curves.py nasim nasim:tiny=193.25 nasim:small=184.89 nasim:medium=177.56

writes plugins/nasim/docs/curves.png. A number after an environment is a reference, drawn as a dashed line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PLUGINS = Path(__file__).parents[1] / "plugins"


def main() -> None:
    family, *shown = sys.argv[1:]
    folder = PLUGINS / family / "docs"
    data = json.loads((folder / "speed.json").read_text(encoding="utf-8"))
    figure, axes = plt.subplots(1, len(shown), figsize=(3.2 * len(shown), 2.6), squeeze=False, layout="constrained")
    for panel, argument in zip(axes[0], shown, strict=True):
        name, _, reference = argument.partition("=")
        runs = data[name]["runs"]
        for run in runs:
            frames, returns = zip(*run["curve"], strict=True)
            panel.plot([count / 1000 for count in frames], returns, linewidth=1, label=f"seed {run['seed']}")
        if reference:
            panel.axhline(float(reference), color="black", linestyle="--", linewidth=0.8)
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("thousand frames", fontsize=8)
        panel.tick_params(labelsize=8)
    axes[0][0].set_ylabel("mean return", fontsize=8)
    axes[0][0].legend(fontsize=6)
    figure.savefig(folder / "curves.png", dpi=110)


if __name__ == "__main__":
    main()
