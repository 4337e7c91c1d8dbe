"""The best expected return on a network, exactly: what training is compared with.

An action that fails by chance changes nothing, so the best policy that knows the network repeats it until it succeeds, which
costs `cost / prob` on average; an exploit against a host that is compromised already does not fail by chance (NASim's rule), so
a likely exploit may come before an unlikely one that gains more. The best expected return is then a shortest path over the
states of the network (who has which access, which hosts are discovered), found by A* (Hart, Nilsson, Raphael 1968).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from arl_core.interfaces import UserError
from arl_plugin_nasim.tables import ROOT, Ints, Kind, Network


class Solution(NamedTuple):
    """Flat actions of the shortest attack, and its expected return; `lucky` is the return where nothing fails by chance."""

    actions: tuple[int, ...]
    expected: float
    lucky: float


class _State(NamedTuple):
    access: tuple[int, ...]  # of each host
    discovered: int  # a bit for each host


def optimal_attack(network: Network, most_states: int = 200_000) -> Solution:
    """The attack of the greatest expected return by one who knows the network, time limits aside. Raises UserError where
    there is none, or more than `most_states` states would have to be looked at."""
    search = _Search(network)
    begin = _State((0,) * len(network.addresses), search.bits(np.flatnonzero(network.public)))
    best = {begin: 0.0}
    came: dict[_State, tuple[_State, int]] = {}
    queue: list[tuple[float, int, _State | None, _State]] = [(search.bound(begin), 0, begin, begin)]
    count = 0
    while queue:
        _, _, state, origin = heapq.heappop(queue)
        if state is None:  # the end of an attack that reached the goal in `origin`
            return _solution(network, came, begin, origin)
        count += 1
        if count > most_states:
            raise UserError(f"nasim: {network.name} is too large: more than {most_states:,} states to look at")
        if search.reached(state):
            # values that are left behind count as costs, so that all costs are positive
            heapq.heappush(queue, (best[state] + search.left_behind(state), -count, None, state))
            continue
        for action, following in search.moves(state):
            cost = best[state] + search.price(action, state)
            if cost < best.get(following, np.inf) - 1e-9:
                best[following] = cost
                came[following] = (state, action)
                heapq.heappush(queue, (cost + search.bound(following), count, following, following))
    raise UserError(f"nasim: the goal of {network.name} cannot be reached")


def _solution(network: Network, came: dict[_State, tuple[_State, int]], begin: _State, end: _State) -> Solution:
    actions, state, search = [], end, _Search(network)
    spent = 0.0
    while state != begin:
        state, action = came[state]
        actions.append(action)
        spent += search.price(action, state)
    actions.reverse()
    earned = search.left_behind(begin) - search.left_behind(end)
    return Solution(tuple(actions), earned - spent, earned - float(network.cost[actions].sum()))


class _Search:
    def __init__(self, network: Network) -> None:
        self._net = network
        self._sensitive = network.sensitive.tolist()
        self._public = network.public
        likely = network.fits & (network.prob > 0)
        self._escalations = np.flatnonzero(likely & (network.kind == Kind.PRIVESC))
        self._exploits = np.flatnonzero(likely & (network.kind == Kind.EXPLOIT))
        self._scans = np.flatnonzero(network.kind == Kind.SUBNET_SCAN)
        self._connected = [self.bits(np.flatnonzero(row)) for row in network.connected]

    @staticmethod
    def bits(hosts: Ints) -> int:
        return sum(1 << int(host) for host in hosts)

    def price(self, action: int, state: _State) -> float:
        """What the action costs on average until it succeeds."""
        net = self._net
        is_sure = net.kind[action] == Kind.EXPLOIT and state.access[net.target[action]] > 0
        return float(net.cost[action] if is_sure else net.cost[action] / net.prob[action])

    def reached(self, state: _State) -> bool:
        return all(state.access[host] == ROOT for host in self._sensitive)

    def left_behind(self, state: _State) -> float:
        """The values that this state has not earned."""
        net = self._net
        owned = sum(net.values[host] for host, access in enumerate(state.access) if access != ROOT)
        hidden = sum(v for host, v in enumerate(net.discovery_values) if not state.discovered >> host & 1)
        return float(owned + hidden)

    def bound(self, state: _State) -> float:
        """What reaching the goal costs at least: root access to each sensitive host by the cheapest way."""
        return sum(self._cheapest[host][state.access[host]] for host in self._sensitive)

    @cached_property
    def _cheapest(self) -> dict[int, tuple[float, float, float]]:
        return {host: (self._to_root(host, 0), self._to_root(host, 1), 0.0) for host in self._sensitive}

    def _to_root(self, host: int, access: int) -> float:
        net = self._net
        price = net.cost / np.maximum(net.prob, 1e-12)
        here = np.concatenate([self._exploits, self._escalations])
        here = here[net.target[here] == host]
        is_exploit = net.kind[here] == Kind.EXPLOIT
        if access > 0:
            straight = np.where(is_exploit, net.cost[here], price[here])[net.gained[here] == ROOT]
        else:
            straight = price[here[(net.gained[here] == ROOT) & is_exploit]]
        least = float(straight.min(initial=np.inf))
        if access == 0:
            entry = price[here[net.kind[here] == Kind.EXPLOIT]]
            least = min(least, float(entry.min(initial=np.inf)) + self._to_root(host, 1))
        return least

    def moves(self, state: _State) -> Iterator[tuple[int, _State]]:
        """Actions that change the state where they succeed, and the state then."""
        net = self._net
        access = np.array(state.access)
        owned = access > 0
        known = np.array([state.discovered >> host & 1 for host in range(len(access))], np.bool_)
        for action in self._scans.tolist():
            host = int(net.target[action])
            discovered = state.discovered | self._connected[host]
            if access[host] >= net.required[action] and owned[host] and discovered != state.discovered:
                yield action, _State(state.access, discovered)
        reachable = self._public | net.connected[owned].any(0)
        for action in self._escalations.tolist():
            host = int(net.target[action])
            if owned[host] and net.required[action] <= access[host] < net.gained[action]:
                yield action, self._with_access(state, host, int(net.gained[action]))
        for action in self._exploits.tolist():
            host = int(net.target[action])
            if not (known[host] and reachable[host]) or access[host] >= net.gained[action] or self._pointless(host, access):
                continue
            pivots = owned & (access >= net.required[action]) & net.permitted_from[action]
            if (net.public[host] or pivots.any()) and ((owned | net.public) & net.traffic_from[action]).any():
                yield action, self._with_access(state, host, int(net.gained[action]))

    def _pointless(self, host: int, access: Ints) -> bool:
        """Whether a worthless host beside one that is compromised already, as good to launch from, would be taken over."""
        return self._net.values[host] <= 0 and access[host] == 0 and bool(access[self._alike == self._alike[host]].any())

    @cached_property
    def _alike(self) -> Ints:
        """[H]: hosts of one number are equal as places to launch attacks from."""
        net = self._net
        kinds = [(net.permitted_from[:, h].tobytes(), net.traffic_from[:, h].tobytes()) for h in range(len(net.addresses))]
        same = [(net.connected[h].tobytes(), *kind) for h, kind in enumerate(kinds)]
        return np.array([same.index(kind) for kind in same], np.intp)

    @staticmethod
    def _with_access(state: _State, host: int, gained: int) -> _State:
        return _State((*state.access[:host], gained, *state.access[host + 1 :]), state.discovered)
