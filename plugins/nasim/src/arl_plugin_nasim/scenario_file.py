"""Files in NASim's format, looked at before NASim reads them: it evaluates their addresses as Python code, and falls over what
is missing. Data only: nothing that a file says is executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from arl_core.interfaces import UserError

_PAIR = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_SECTIONS = (
    "subnets", "topology", "sensitive_hosts", "os", "services", "processes", "exploits", "privilege_escalation",
    "service_scan_cost", "subnet_scan_cost", "os_scan_cost", "process_scan_cost", "host_configurations", "firewall",
)  # fmt: skip


def check_file(path: str) -> None:
    """Raise UserError for a file that is no network, or whose addresses are not what they must be."""
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise _complaint(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _complaint(path, "it is not text (UTF-8)") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"nasim.scenario: {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise _complaint(path, f"it holds {type(content).__name__ if content else 'nothing'}, not sections such as subnets")
    missing = [name for name in _SECTIONS if name not in content]
    if missing:
        raise _complaint(path, f"it lacks {', '.join(missing)}")
    subnets = content["subnets"]
    if not isinstance(subnets, list) or not all(type(size) is int and size > 0 for size in subnets):
        raise _complaint(path, f"subnets: expected a list of numbers of hosts, got {subnets!r}")
    for section in ("sensitive_hosts", "host_configurations"):
        _check_hosts(path, section, content[section], subnets)
    configurations = content["host_configurations"]
    for address, configuration in configurations.items():
        if isinstance(configuration, dict) and configuration.get("firewall"):
            _check_hosts(path, f"host_configurations: {address}: firewall", configuration["firewall"], subnets)
    for key in _keys(path, "firewall", content["firewall"]):
        source, target = _pair(path, "firewall", key, "(subnet, subnet)")
        if max(source, target) > len(subnets):
            raise _complaint(path, f"firewall: {key}: there are subnets 0 (the internet) to {len(subnets)}")


def _check_hosts(path: str, where: str, hosts: Any, subnets: list[int]) -> None:
    for key in _keys(path, where, hosts):
        subnet, host = _pair(path, where, key, "(subnet, host)")
        if not 1 <= subnet <= len(subnets):
            raise _complaint(path, f"{where}: {key}: there are subnets 1 to {len(subnets)}")
        if host >= subnets[subnet - 1]:
            raise _complaint(path, f"{where}: {key}: subnet {subnet} has hosts 0 to {subnets[subnet - 1] - 1}")


def _keys(path: str, where: str, value: Any) -> Iterable[Any]:
    if not isinstance(value, Mapping):
        raise _complaint(path, f"{where}: expected addresses with their values, got {value!r}")
    return value


def _pair(path: str, where: str, key: Any, form: str) -> tuple[int, int]:
    found = _PAIR.fullmatch(key.strip()) if isinstance(key, str) else None
    if found is None:
        raise _complaint(path, f"{where}: expected an address {form}, such as (1, 0), got {key!r}")
    return int(found[1]), int(found[2])


def _complaint(path: str, what: str) -> UserError:
    return UserError(f"nasim.scenario: {path} is not a network in NASim's format: {what}")
