"""Many copies of one network, attacked at once: nasim's rules (`Network.perform_action`, `HostVector.perform_action`) on
arrays, E environments of H hosts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arl_plugin_nasim.tables import LOCAL, REMOTE, ROOT, Bools, Ints, Kind, Network

# How an action ended: in this order the flags in an observation's last row
SUCCESS, CONNECTION_ERROR, PERMISSION_ERROR, UNDEFINED_ERROR, FAILED = range(5)


class Outcome(NamedTuple):
    """What a step did, [E] each."""

    actions: Ints
    code: NDArray[np.int8]  # SUCCESS ... FAILED
    rewards: NDArray[np.float64]
    newly: Bools  # [E, H]: hosts discovered by this step


class Simulation:
    """The state of E networks: what the attacker has compromised, can reach, has discovered, and its access, [E, H] each."""

    def __init__(self, network: Network, num_envs: int) -> None:
        self.network = network
        shape = (num_envs, len(network.addresses))
        self.compromised = np.zeros(shape, np.bool_)
        self.reachable = np.zeros(shape, np.bool_)
        self.discovered = np.zeros(shape, np.bool_)
        self.access = np.zeros(shape, np.int8)
        self._all = np.arange(num_envs)
        self.reset(self._all)

    def reset(self, rows: Ints) -> None:
        """Begin anew in the environments `rows`."""
        self.compromised[rows] = False
        self.access[rows] = 0
        self.reachable[rows] = self.discovered[rows] = self.network.public

    def step(self, actions: Ints, draws: NDArray[np.float64]) -> Outcome:
        """Take flat actions [E] with a uniform number each [E]: an action that may fail does so where its is greater than
        the action's probability."""
        net = self.network
        kind, target = net.kind[actions], net.target[actions]
        code = self._code(actions, kind, target, draws)
        rewards = -net.cost[actions]
        succeeded = code == SUCCESS
        rewards += self._gain_access(actions, kind, target, succeeded)
        newly = np.zeros_like(self.discovered)
        scans = np.flatnonzero(succeeded & (kind == Kind.SUBNET_SCAN))
        if scans.size:
            newly[scans] = net.connected[target[scans]] & ~self.discovered[scans]
            self.discovered |= newly
            rewards += newly @ net.discovery_values
        return Outcome(actions, code, rewards, newly)

    def _code(self, actions: Ints, kind: Ints, target: Ints, draws: NDArray[np.float64]) -> NDArray[np.int8]:
        """How each action ends. What nasim checks first is written last."""
        net, every = self.network, self._all
        required = net.required[actions]
        owned = self.compromised[every, target]
        exploit, escalation = kind == Kind.EXPLOIT, kind == Kind.PRIVESC
        enough = owned & (self.access[every, target] >= required)
        code = np.where(net.fits[actions], SUCCESS, FAILED).astype(np.int8)
        code[~enough & (LOCAL[kind] | (exploit & (code == FAILED)))] = PERMISSION_ERROR
        code[(kind == Kind.SUBNET_SCAN) & ~owned] = CONNECTION_ERROR
        code[(draws > net.prob[actions]) & ~(exploit & owned)] = UNDEFINED_ERROR
        code[escalation & ~owned] = CONNECTION_ERROR
        heard = (self.compromised | net.public) & net.traffic_from[actions]
        code[exploit & ~heard.any(1)] = CONNECTION_ERROR
        pivots = self.compromised & net.permitted_from[actions] & (self.access >= required[:, None])
        code[REMOTE[kind] & ~(net.public[target] | pivots.any(1))] = PERMISSION_ERROR
        code[~(self.reachable[every, target] & self.discovered[every, target])] = CONNECTION_ERROR
        code[kind == Kind.NOOP] = SUCCESS
        return code

    def _gain_access(self, actions: Ints, kind: Ints, target: Ints, succeeded: Bools) -> NDArray[np.float64]:
        """Apply exploits and escalations that succeeded; the values [E] that they earn: once for each host."""
        net = self.network
        earned = np.zeros(len(actions))
        rows = np.flatnonzero(succeeded & (kind <= Kind.PRIVESC))
        if rows.size:
            hosts, gained = target[rows], net.gained[actions[rows]]
            raised = self.access[rows, hosts] != ROOT
            earned[rows] = np.where(raised & (gained == ROOT), net.values[hosts], 0)
            self.access[rows[raised], hosts[raised]] = gained[raised]
            exploits = kind[rows] == Kind.EXPLOIT
            rows, hosts = rows[exploits], hosts[exploits]
            self.compromised[rows, hosts] = True
            self.reachable[rows] |= net.connected[hosts]
        return earned

    def goals(self) -> Bools:
        """[E]: whether every sensitive host is under the attacker's control (root)."""
        reached: Bools = (self.access[:, self.network.sensitive] == ROOT).all(1)
        return reached
