"""A scenario as arrays: everything about a network, and about each action in it, that does not change during an episode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

USER, ROOT = 1, 2  # access levels; 0: none
_INTERNET = 0  # its row and column of the topology
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


class Kind(IntEnum):
    """Types of actions, in the order of NASim's parameterised actions; NOOP is what its impossible combinations mean."""

    EXPLOIT = 0
    PRIVESC = 1
    SERVICE_SCAN = 2
    OS_SCAN = 3
    SUBNET_SCAN = 4
    PROCESS_SCAN = 5
    NOOP = 6


_KINDS = {
    "Exploit": Kind.EXPLOIT,
    "PrivilegeEscalation": Kind.PRIVESC,
    "ServiceScan": Kind.SERVICE_SCAN,
    "OSScan": Kind.OS_SCAN,
    "SubnetScan": Kind.SUBNET_SCAN,
    "ProcessScan": Kind.PROCESS_SCAN,
    "NoOp": Kind.NOOP,
}
REMOTE = np.array([kind in (Kind.EXPLOIT, Kind.SERVICE_SCAN, Kind.OS_SCAN) for kind in Kind])  # [kind]
LOCAL = np.array([kind in (Kind.PRIVESC, Kind.SUBNET_SCAN, Kind.PROCESS_SCAN) for kind in Kind])  # [kind]


@dataclass(frozen=True, eq=False)
class Layout:
    """Columns of a host's row in an observation, S in all (nasim's `HostVector`, of this one network)."""

    address: slice  # subnet and host, one-hot
    compromised: int
    reachable: int
    discovered: int
    value: int
    discovery_value: int
    access: int
    os: slice
    services: slice
    processes: slice
    size: int


@dataclass(frozen=True, eq=False)
class Network:
    """H hosts, and A + 1 actions: NASim's flat ones in its order, and last the one that does nothing."""

    name: str
    addresses: tuple[tuple[int, int], ...]  # (subnet, host) of each host
    labels: tuple[str, ...]  # of each action, for people
    layout: Layout
    rows: NDArray[np.float32]  # [H, S]: hosts as nobody has touched them, all dynamic columns 0
    bounds: tuple[float, float]  # of observations
    public: Bools  # [H]: reachable from the internet
    connected: Bools  # [H, H]: the subnet of the second can be reached from that of the first
    values: NDArray[np.float64]  # [H]: for root access
    discovery_values: NDArray[np.float64]  # [H]
    sensitive: Ints  # hosts that are to be compromised
    kind: Ints  # [A + 1] of each action, as all of the following
    target: Ints
    cost: NDArray[np.float64]
    prob: NDArray[np.float64]
    required: NDArray[np.int8]  # access on a pivot host, or on the target where the action is local
    gained: NDArray[np.int8]  # access, by exploits and escalations
    fits: Bools  # what it exploits, or escalates by, is on its target; True for others
    permitted_from: Bools  # [A + 1, H]: hosts that it may be launched from, where access there is enough
    traffic_from: Bools  # [A + 1, H]: hosts from which firewalls let its service through; True but for exploits
    parameters: tuple[int, ...]  # sizes of parameterised actions
    flat_of: Ints  # [the product of `parameters`]: flat action of each combination
    step_limit: int | None

    @property
    def noop(self) -> int:
        """The action that does nothing, which is not one of the A."""
        return len(self.kind) - 1


def build_network(scenario: Any) -> Network:
    """The tables of a `nasim.scenarios.Scenario`."""
    from nasim.envs.action import NoOp, load_action_list

    actions = [*load_action_list(scenario), NoOp()]
    layout = _layout(scenario)
    hosts = list(scenario.hosts.values())
    subnets = np.array([subnet for subnet, _ in scenario.hosts])
    topology = np.asarray(scenario.topology) == 1
    kind = np.array([_KINDS[type(action).__name__] for action in actions], np.intp)
    target = np.array([scenario.host_num_map[action.target] for action in actions], np.intp)
    values = np.array([host.value for host in hosts], np.float64)
    discovery = np.array([host.discovery_value for host in hosts], np.float64)
    permitted_from, traffic_from = _passages(scenario, actions)
    parameters, flat_of = _parameterised(scenario, actions)
    return Network(
        name=scenario.name,
        addresses=tuple((int(subnet), int(host)) for subnet, host in scenario.hosts),
        labels=tuple(f"{action.name} {action.target}" for action in actions),
        layout=layout,
        rows=np.stack([_row(layout, scenario.address_space_bounds, host) for host in hosts]),
        bounds=_bounds(scenario, values, discovery),
        public=topology[subnets, _INTERNET],
        connected=topology[np.ix_(subnets, subnets)],
        values=values,
        discovery_values=discovery,
        sensitive=np.array([scenario.host_num_map[address] for address in scenario.sensitive_addresses], np.intp),
        kind=kind,
        target=target,
        cost=np.array([action.cost for action in actions], np.float64),
        prob=np.array([action.prob for action in actions], np.float64),
        required=np.array([action.req_access for action in actions], np.int8),
        gained=np.array([getattr(action, "access", 0) for action in actions], np.int8),
        fits=np.array([_fits(action, host) for action, host in zip(actions, (hosts[i] for i in target), strict=True)]),
        permitted_from=permitted_from,
        traffic_from=traffic_from,
        parameters=parameters,
        flat_of=flat_of,
        step_limit=scenario.step_limit,
    )


def _layout(scenario: Any) -> Layout:
    address = sum(scenario.address_space_bounds)
    os = address + 6
    services = os + scenario.num_os
    processes = services + scenario.num_services
    size = processes + scenario.num_processes
    return Layout(
        address=slice(0, address),
        compromised=address,
        reachable=address + 1,
        discovered=address + 2,
        value=address + 3,
        discovery_value=address + 4,
        access=address + 5,
        os=slice(os, services),
        services=slice(services, processes),
        processes=slice(processes, size),
        size=size,
    )


def _row(layout: Layout, bounds: tuple[int, int], host: Any) -> NDArray[np.float32]:
    row = np.zeros(layout.size, np.float32)
    subnet, number = host.address
    row[subnet] = row[bounds[0] + number] = 1
    row[layout.value] = host.value
    row[layout.discovery_value] = host.discovery_value
    row[layout.os] = list(host.os.values())
    row[layout.services] = list(host.services.values())
    row[layout.processes] = list(host.processes.values())
    return row


def _bounds(scenario: Any, values: NDArray[np.float64], discovery: NDArray[np.float64]) -> tuple[float, float]:
    """As nasim's `Observation.get_space_bounds`."""
    least = min(0.0, values.min(), discovery.min())
    return float(least), float(max(ROOT, values.max(), discovery.max(), *scenario.address_space_bounds))


def _fits(action: Any, host: Any) -> bool:
    kind = _KINDS[type(action).__name__]
    if kind not in (Kind.EXPLOIT, Kind.PRIVESC):
        return True
    running = (
        host.services[action.service] if kind is Kind.EXPLOIT else action.process is None or host.processes[action.process]
    )
    return bool(running and (action.os is None or host.os[action.os]))


def _passages(scenario: Any, actions: list[Any]) -> tuple[Bools, Bools]:
    """`permitted_from` and `traffic_from`."""
    subnets = np.array([subnet for subnet, _ in scenario.hosts])
    topology = np.asarray(scenario.topology) == 1
    through = {service: _let_through(scenario, topology, service) for service in scenario.services}
    permitted = np.zeros((len(actions), len(subnets)), np.bool_)
    traffic = np.ones_like(permitted)
    for i, action in enumerate(actions):
        subnet = action.target[0]
        if _KINDS[type(action).__name__] is not Kind.EXPLOIT:
            permitted[i] = topology[subnets, subnet]
            continue
        permitted[i] = traffic[i] = through[action.service][subnets, subnet]
        host = scenario.hosts[action.target]
        if host.firewall:
            traffic[i] &= [host.traffic_permitted(address, action.service) for address in scenario.hosts]
    return permitted, traffic


def _let_through(scenario: Any, topology: Bools, service: str) -> Bools:
    """Whether firewalls let `service` from one subnet into another: [subnets, subnets]."""
    allowed = np.eye(len(topology), dtype=np.bool_)
    for (source, target), services in scenario.firewall.items():
        allowed[source, target] |= topology[source, target] and service in services
    return allowed


def _parameterised(scenario: Any, actions: list[Any]) -> tuple[tuple[int, ...], Ints]:
    """Sizes of the parameters (type, subnet, host, os, service, process), and the flat action of each combination: nasim's
    `ParameterisedActionSpace.get_action`. Hosts count round in smaller subnets; of two exploits alike the first is taken."""
    widest = max(scenario.subnets)
    sizes = (6, len(scenario.subnets) - 1, widest, scenario.num_os + 1, scenario.num_services, scenario.num_processes)
    flat = np.full(sizes, len(actions) - 1, np.intp)
    for i in reversed(range(len(actions) - 1)):
        action, kind = actions[i], _KINDS[type(actions[i]).__name__]
        subnet, host = action.target
        place: list[Any] = [kind, subnet - 1, slice(host, None, scenario.subnets[subnet])]
        if kind in (Kind.EXPLOIT, Kind.PRIVESC):
            place.append(0 if action.os is None else 1 + scenario.os.index(action.os))
        if kind is Kind.EXPLOIT:
            place.append(scenario.services.index(action.service))
        if kind is Kind.PRIVESC and action.process is not None:
            place += [slice(None), scenario.processes.index(action.process)]
        flat[tuple(place)] = i
    return sizes, flat.reshape(-1)
