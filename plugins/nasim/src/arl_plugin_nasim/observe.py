"""What the attacker sees: nasim's observations (`State.get_observation`), written for many environments at once, the memory
of an episode, and masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arl_plugin_nasim.simulation import FAILED, SUCCESS, Outcome, Simulation
from arl_plugin_nasim.tables import LOCAL, Bools, Ints, Kind, Layout, Network

Floats = NDArray[np.float32]


class Observer:
    """Observations [E, H + 1, S] of a simulation: a row for each host, and a last one that says how the action ended
    (success, connection error, permission error, undefined error).

    Fully observable: all rows, always. Otherwise a row shows what the last action brought to light; with `remember`, what any
    action of the episode has. `seen` [E, H, S] is that memory (zeros without).
    """

    def __init__(self, simulation: Simulation, *, fully_obs: bool, remember: bool) -> None:
        net = simulation.network
        self._simulation, self._net, self._full = simulation, net, fully_obs
        self._remember = remember and not fully_obs
        self._features = _features_shown(net.layout)
        envs, hosts = simulation.access.shape
        self.shape = (envs, hosts + 1, net.layout.size)
        self.seen = np.zeros((envs, hosts if self._remember else 0, net.layout.size), np.float32)

    def write_first(self, rows: Ints, out: Floats) -> None:
        """The first observations of episodes, of the environments `rows`, into `out` [E, H + 1, S]."""
        out[rows] = 0
        if self._full:
            self._write_all(out)
            return
        environment, host = np.nonzero(np.broadcast_to(self._net.public, (len(rows), len(self._net.public))))
        environment = rows[environment]
        self.seen[rows] = 0
        self._show(out, environment, host, self._features[Kind.NOOP])

    def write(self, outcome: Outcome, out: Floats) -> None:
        """The observations after a step, into `out` [E, H + 1, S]."""
        last = out[:, -1]
        last[:] = 0
        ended = np.flatnonzero(outcome.code != FAILED)
        last[ended, outcome.code[ended]] = 1
        if self._full:
            self._write_all(out)
            return
        if self._remember:
            out[:, :-1] = self.seen
        else:
            out[:, :-1] = 0
        net = self._net
        kind = net.kind[outcome.actions]
        scans = np.flatnonzero((outcome.code == SUCCESS) & (kind == Kind.SUBNET_SCAN))
        if scans.size:
            self._show_neighbours(outcome, scans, out)
        rows = np.flatnonzero((outcome.code == SUCCESS) & (kind != Kind.NOOP))
        self._show(out, rows, net.target[outcome.actions[rows]], self._features[kind[rows]])

    def _show_neighbours(self, outcome: Outcome, scans: Ints, out: Floats) -> None:
        scan, host = np.nonzero(self._net.connected[self._net.target[outcome.actions[scans]]])
        environment = scans[scan]
        features = np.tile(self._features[Kind.NOOP], (len(host), 1))
        features[:, self._net.layout.discovery_value] = outcome.newly[environment, host]
        self._show(out, environment, host, features)

    def _show(self, out: Floats, environment: Ints, host: Ints, features: Bools) -> None:
        """Write hosts of environments (pairs) with those of their features that are shown."""
        rows = self._rows(environment, host)
        if self._remember:
            rows = np.where(features, rows, self.seen[environment, host])
            self.seen[environment, host] = rows
        else:
            rows *= features
        out[environment, host] = rows

    def _rows(self, environment: Ints, host: Ints) -> Floats:
        """Hosts as they are: [n, S]."""
        layout, now = self._net.layout, self._simulation
        rows: Floats = self._net.rows[host]
        rows[:, layout.compromised] = now.compromised[environment, host]
        rows[:, layout.reachable] = now.reachable[environment, host]
        rows[:, layout.discovered] = now.discovered[environment, host]
        rows[:, layout.access] = now.access[environment, host]
        return rows

    def _write_all(self, out: Floats) -> None:
        layout, now, hosts = self._net.layout, self._simulation, out[:, :-1]
        hosts[:] = self._net.rows
        hosts[..., layout.compromised] = now.compromised
        hosts[..., layout.reachable] = now.reachable
        hosts[..., layout.discovered] = now.discovered
        hosts[..., layout.access] = now.access


def _features_shown(layout: Layout) -> Bools:
    """[kind, S]: what a successful action shows of its target; NOOP's row: of a host that was merely discovered."""
    shown = np.zeros((len(Kind), layout.size), np.bool_)
    shown[:, layout.address] = shown[:, layout.reachable] = shown[:, layout.discovered] = True
    for kind in (Kind.EXPLOIT, Kind.PRIVESC, Kind.SUBNET_SCAN):
        shown[kind, layout.compromised] = True
    for kind in (Kind.EXPLOIT, Kind.PRIVESC, Kind.PROCESS_SCAN):
        shown[kind, layout.access] = True
    for kind in (Kind.EXPLOIT, Kind.SERVICE_SCAN):
        shown[kind, layout.services] = True
    for kind in (Kind.EXPLOIT, Kind.OS_SCAN):
        shown[kind, layout.os] = True
    shown[Kind.EXPLOIT, layout.value] = True
    shown[Kind.PROCESS_SCAN, layout.processes] = True
    return shown


class Masks:
    """Which actions make sense by what the attacker knows: the target is discovered, and compromised where the action works
    on the host itself (scan of subnet or processes, escalation).

    Both are in what the attacker has been shown, also where it observes partially: a host counts as discovered from the
    observation on that shows it, and as compromised from the successful exploit on. Nothing that is hidden enters.
    """

    def __init__(self, network: Network, *, flat: bool) -> None:
        self._net, self._flat = network, flat
        self._local = LOCAL[network.kind[:-1]]
        self._target = network.target[:-1]
        self.size = len(self._target) if flat else sum(network.parameters)
        self._of_hosts = _host_parameters(network)

    def write(self, simulation: Simulation, out: NDArray[np.int8]) -> None:
        """[E, actions], or [E, choices of all parameters one after the other]: a parameter's choice is allowed where some
        action that has it is."""
        if self._flat:
            allowed = np.where(self._local, simulation.compromised[:, self._target], simulation.discovered[:, self._target])
            np.copyto(out, allowed, casting="unsafe")
            return
        out[:] = 1
        kinds = self._net.parameters[0]
        out[:, :kinds] = ~LOCAL[:kinds] | simulation.compromised.any(1, keepdims=True)
        out[:, kinds : kinds + self._of_hosts.shape[1]] = simulation.discovered @ self._of_hosts


def _host_parameters(network: Network) -> Bools:
    """[H, subnets + hosts of the widest]: the parameters by which a host is named; numbers count round in smaller subnets."""
    _, subnets, widest = network.parameters[:3]
    names = np.zeros((len(network.addresses), subnets + widest), np.bool_)
    sizes = [sum(subnet == other for other, _ in network.addresses) for subnet in range(subnets + 1)]
    for host, (subnet, number) in enumerate(network.addresses):
        names[host, subnet - 1] = True
        names[host, subnets + number :: sizes[subnet]] = True
    return names
