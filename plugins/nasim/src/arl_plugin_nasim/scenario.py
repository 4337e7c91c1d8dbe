"""Networks: NASim's benchmarks, files in its format, generated ones. This module alone runs nasim's code.

What nasim draws, it draws from NumPy's global generator: it is seeded for the time of a call, and put back as others had it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from arl_core.interfaces import JSON, UserError
from arl_plugin_nasim.options import GENERATOR_OPTIONS, NASimOptions
from arl_plugin_nasim.scenario_file import check_file

_NASIM_NAMES = {"alpha_h": "alpha_H", "alpha_v": "alpha_V", "lambda_v": "lambda_V"}
_MOST_UNIFORM = 12  # nasim lists all 2^n sets of services and processes


def load_scenario(options: NASimOptions, *, benchmark: str | None = None, generator: Mapping[str, JSON] | None = None) -> Any:
    """The `nasim.scenarios.Scenario` of a variant: a benchmark, a generated network (`generator`: its arguments), or, with
    neither, the file `options.scenario`. Raises UserError for options that do not go with it, and for a bad file."""
    try:
        from nasim.scenarios import benchmark as known
    except ModuleNotFoundError as error:
        if error.name != "nasim":
            raise
        raise UserError("nasim: the package nasim is missing: pip install arl-plugin-nasim") from None
    chosen = options.model_dump(include=set(GENERATOR_OPTIONS), exclude_none=True)
    if options.scenario is not None and (benchmark or generator is not None):
        raise UserError(f"nasim.scenario: {benchmark or 'generated'} has its own network; use --env nasim:custom")
    if benchmark in known.AVAIL_GEN_BENCHMARKS:
        generator = known.AVAIL_GEN_BENCHMARKS[benchmark]
    if generator is not None:
        return _generate({**generator, **chosen}, options.scenario_seed or 0)
    if chosen or options.scenario_seed is not None:
        wrong = next(iter(chosen), "scenario_seed")
        raise UserError(f"nasim.{wrong}: {benchmark or 'a file'} is not generated; use --env nasim:generated, or one *-gen")
    if benchmark is not None:
        return _read(known.AVAIL_STATIC_BENCHMARKS[benchmark]["file"], benchmark)
    if options.scenario is None:
        raise UserError("nasim: the variant custom needs a network, its option scenario: --nasim.scenario my_network.yaml")
    if not Path(options.scenario).is_file():
        raise UserError(f"nasim.scenario: there is no file {options.scenario}")
    return _read(options.scenario, None)


def score_upper_bound(scenario: Any) -> float:
    """NASim's own bound on the return (`get_score_upper_bound`): all values, less the fewest hops between subnets. Loose: it
    counts neither scans, nor privilege escalations, nor exploits that fail. `solve.optimal_return` is exact."""
    from nasim.envs.network import Network

    network = Network(scenario)
    values = network.get_total_sensitive_host_value() + network.get_total_discovery_value()
    return float(values - network.get_minimal_hops())


def _read(path: str, name: str | None) -> Any:
    from nasim.scenarios import load_scenario as nasim_load

    if name is None:
        check_file(path)
    try:
        return nasim_load(path, name=name)
    # nasim asserts what it checks, and falls over the rest
    except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"nasim.scenario: {path} is not a network in NASim's format: {error}") from None


def _generate(arguments: dict[str, Any], seed: int) -> Any:
    services, systems, processes = (arguments.get(key) or 2 for key in ("num_services", "num_os", "num_processes"))
    # beyond these nasim's generator would look for another name for ever
    most = services * (systems + 1)
    if (arguments.get("num_exploits") or 1) > most:
        raise UserError(f"nasim.num_exploits: {services} services and {systems} systems allow for {most} exploits")
    if (arguments.get("num_privescs") or 1) > processes:
        raise UserError(f"nasim.num_privescs: at most as many as processes, which are {processes}")
    if arguments.get("uniform") and max(services, processes) > _MOST_UNIFORM:
        raise UserError(f"nasim.uniform: at most {_MOST_UNIFORM} services and processes, got {max(services, processes)}")
    named = {_NASIM_NAMES.get(name, name): value for name, value in arguments.items()}
    try:
        with _global_randomness(seed):
            return _generator().generate(**named)
    except AssertionError as error:
        raise UserError(f"nasim: no network can be generated: {error}") from None


def _generator() -> Any:
    from nasim.scenarios.generator import SENSITIVE, ScenarioGenerator

    class Generator(ScenarioGenerator):  # type: ignore[misc]  # nasim has no types
        """nasim's own, but for the firewalls: it draws them from sets of strings, whose order changes with every process
        (PYTHONHASHSEED), so that one seed would give each rollout worker another network."""

        def _generate_firewall(self, restrictiveness: int) -> None:
            open_services: dict[int, list[str]] = {subnet: [] for subnet in range(len(self.subnets))}
            for (subnet, _), host in self.hosts.items():
                hit = {e["service"] for e in self.exploits.values() if self._host_is_vulnerable_to_exploit(host, e)}
                open_services[subnet] = sorted({*open_services[subnet], *hit})
            self.firewall = {}
            for source, target in np.argwhere(self.topology).tolist():
                if source == target:
                    continue
                allowed = open_services[target]
                if source > SENSITIVE and target > SENSITIVE:
                    allowed = self.services
                elif len(allowed) > restrictiveness:
                    allowed = np.random.choice(allowed, restrictiveness, replace=False).tolist()
                self.firewall[source, target] = set(allowed)

    return Generator()


@contextmanager
def _global_randomness(seed: int) -> Iterator[None]:
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
