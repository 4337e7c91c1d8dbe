"""`arl eval`: play a trained run's newest, best or named checkpoint and report returns."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from arl_core.cli.flags import parse, whole
from arl_core.cli.output import print_json, print_table
from arl_core.interfaces import UserError

FLAGS = {
    **dict.fromkeys(("episodes", "seed", "picture", "checkpoint", "policy", "env", "encoder", "model"), False),
    **dict.fromkeys(("deterministic", "json", "no_plugins"), True),
}
USAGE = """usage: arl eval RUN_DIR [--episodes N] [--no-deterministic] [--seed N] [--json] [--picture FILE.png]
                [--checkpoint best|latest|PATH] [--policy N] [--env ENV] [--encoder NAME] [--model NAME]
                [--FAMILY.OPTION VALUE ...] [--no-plugins]

  RUN_DIR              a run's directory, such as train_dir/NAME
  --episodes N         how many episodes to play (default: 10)
  --deterministic      the most probable action (default), or --no-deterministic: sampled ones
  --seed N             of the evaluation's environments (default: one of their own, apart from training's)
  --json               the numbers as JSON, with the returns and lengths of all episodes
  --picture FILE.png   also save a picture of an episode
  --checkpoint WHICH   the newest weights (latest, the default), the best (save_best_metric), or a file or folder
  --policy N           of a run of several policies: all agents are played by this one (default: each by its own)
  --env ENV            the environment again, where it is code of your own (py:module:attr): a file alone names no code to run
  --encoder, --model   the network again, likewise
  --FAMILY.OPTION V    the environment with another option, such as --maze.size 8: spaces must stay as they were
  --no-plugins         use the core alone"""


def command(arguments: list[str]) -> int:
    """Evaluate a run. Returns the exit code."""
    parsed = parse(arguments, FLAGS, positional=("RUN_DIR",))
    if not parsed.positional:
        raise UserError("arl eval: name the run's directory, such as train_dir/NAME")
    run_dir = Path(parsed.positional[0])
    if not run_dir.is_dir():
        from arl_core.registry.provenance import check_directory

        check_directory(run_dir, "arl eval: ")
    episodes, seed, policy = whole(parsed, "episodes", 1), whole(parsed, "seed", 0), whole(parsed, "policy", 0)
    picture = parsed.values.get("picture")
    if isinstance(picture, str) and Path(picture).suffix.lower() != ".png":
        raise UserError(f"--picture: expected a file that ends in .png, got '{picture}'")
    from arl_core.cli.request import CORE_ALONE, own_layer_of
    from arl_core.config.layers import Layer
    from arl_core.envs.faults import EnvironmentFault
    from arl_core.runtime.evaluate import evaluate_run

    env = str(parsed.values["env"]) if "env" in parsed.values else None
    layers = [CORE_ALONE] if parsed.values.get("no_plugins") else []
    layers += [Layer(f"--{name}", {name: parsed.values[name]}) for name in ("encoder", "model") if name in parsed.values]
    if parsed.options:
        layers.append(own_layer_of(parsed.options, run_dir, env))

    try:
        result = evaluate_run(
            run_dir,
            *layers,
            episodes=episodes or 10,
            deterministic=bool(parsed.values.get("deterministic", True)),
            seed=seed,
            picture=Path(picture) if isinstance(picture, str) else None,
            checkpoint=str(parsed.values.get("checkpoint", "latest")),
            policy=policy,
            env=env,
            per_episode=bool(parsed.values.get("json")),
        )
    except EnvironmentFault as fault:  # its author's affair: how it came to this, in their code
        if fault.__cause__ is not None:
            traceback.print_exception(fault.__cause__)
        print(f"error: {fault}", file=sys.stderr)
        return 1
    if parsed.values.get("json"):
        print_json(result)
    else:
        print_table(("metric", "value"), [(name, _number(value)) for name, value in result.items()])
    return 0


def _number(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
