"""`arl config`: a run's configuration, and where each value comes from."""

from __future__ import annotations

from typing import Any

from arl_core.cli.helptext import grouped_fields
from arl_core.cli.output import print_json, print_table, shown
from arl_core.cli.request import parse_request, resolve_request
from arl_core.config.layers import ResolvedConfig, core_defaults
from arl_core.config.schema import AUTO_WORDS
from arl_core.interfaces import ResolvedEnv

USAGE = """usage: arl config --env ENV [--field VALUE ...] [--config FILE.yaml] [--no-plugins] [--explain | --json]

Prints the configuration that `arl run` with the same flags would train with: field, value, and who set it.

  --explain   also the core's default of each value that somebody changed, and the environment's own options
  --json      for programs: config, origins, env"""


def command(arguments: list[str]) -> int:
    """Print the resolved configuration. Returns the exit code."""
    request = parse_request(arguments, switches=("explain", "json"))
    config, env = resolve_request(request)
    if request.others.get("json"):
        from arl_core.envs.make import resolved_to_json

        values = _values(config)
        origins = {name: config.origin(name) for name in values}
        print_json({"config": values, "origins": origins, "env": resolved_to_json(env)})
    elif request.others.get("explain"):
        print_table(("field", "value", "origin", "core default"), _explained(config, env))
    else:
        print_table(("field", "value", "origin"), [row[:3] for row in _rows(config)])
    return 0


def _values(config: ResolvedConfig) -> dict[str, Any]:
    return config.config.model_dump(mode="json") | {name: AUTO_WORDS[name] for name in config.auto}


def _rows(config: ResolvedConfig) -> list[tuple[str, str, str, str]]:
    rows = []
    values, defaults = _values(config), core_defaults()
    for name in (name for _, names in grouped_fields() for name in names):
        origin = config.origin(name)
        rows.append((name, shown(values[name]), origin, "" if origin == "core" else shown(defaults[name])))
    return rows


def _explained(config: ResolvedConfig, env: ResolvedEnv) -> list[tuple[str, str, str, str]]:
    """The fields, then the environment's options: who gave each, or whose default it is."""
    family = env.id.partition(":")[0]
    given = config.config.env_options
    owner = f"{env.dist} {env.version}".strip() or "the environment"
    options = [
        (f"{family}.{name}", shown(value), config.origin("env_options") if name in given else owner, "")
        for name, value in env.options.items()
    ]
    return _rows(config) + options
