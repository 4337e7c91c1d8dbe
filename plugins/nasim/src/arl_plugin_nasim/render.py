"""Networks as pictures and as text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arl_plugin_nasim.simulation import Simulation
from arl_plugin_nasim.tables import ROOT, USER

RGB = tuple[int, int, int]
PAPER: RGB = (250, 248, 243)
SUBNET: RGB = (222, 226, 235)
LINE: RGB = (150, 158, 175)
UNKNOWN: RGB = (190, 195, 205)
DISCOVERED: RGB = (247, 203, 92)
WITH_USER: RGB = (240, 130, 50)
WITH_ROOT: RGB = (205, 45, 50)
SENSITIVE: RGB = (35, 60, 130)
_HOST, _GAP, _LANE = 28, 12, 60  # pixels: a host's side, between hosts, between columns of subnets


def drawn(simulation: Simulation) -> NDArray[np.uint8]:
    """A picture of the first environment, uint8 [height, width, 3]: subnets in columns by their distance from the internet,
    lines where they are connected. Hosts are grey, yellow once discovered, orange with user, red with root access; sensitive
    ones have a blue frame."""
    places, boxes, (height, width) = _arranged(simulation)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = PAPER
    for one, other in _links(simulation):
        _link(picture, boxes[one], boxes[other])
    for top, left, bottom, right in boxes.values():
        picture[top:bottom, left:right] = SUBNET
    for host, (top, left) in enumerate(places):
        if host in simulation.network.sensitive:
            picture[top - 4 : top + _HOST + 4, left - 4 : left + _HOST + 4] = SENSITIVE
        picture[top : top + _HOST, left : left + _HOST] = _colour(simulation, host)
    return picture


def described(simulation: Simulation, last: str) -> str:
    """The first environment as text, a line for each host, after the last action."""
    net = simulation.network
    lines = [f"{net.name}: {last}"]
    for host, address in enumerate(net.addresses):
        state = ("unknown", "discovered")[int(simulation.discovered[0, host])]
        state = {USER: "user", ROOT: "root"}.get(int(simulation.access[0, host]), state)
        lines.append(f"{address!s:>9} {'sensitive' if host in net.sensitive else '':9} {state}")
    return "\n".join(lines)


def _colour(simulation: Simulation, host: int) -> RGB:
    found = DISCOVERED if simulation.discovered[0, host] else UNKNOWN
    return {USER: WITH_USER, ROOT: WITH_ROOT}.get(int(simulation.access[0, host]), found)


def _arranged(simulation: Simulation) -> tuple[list[tuple[int, int]], dict[int, tuple[int, int, int, int]], tuple[int, int]]:
    """Top left of each host, (top, left, bottom, right) of each subnet, (height, width) of the picture; pixels."""
    net = simulation.network
    step = _HOST + _GAP
    columns: dict[int, list[int]] = {}
    for subnet, depth in _depths(simulation).items():
        columns.setdefault(depth, []).append(subnet)
    places = [(0, 0)] * len(net.addresses)
    boxes: dict[int, tuple[int, int, int, int]] = {}
    left, height = _GAP, 0
    for depth in sorted(columns):
        top, widest = _GAP, 0
        for subnet in columns[depth]:
            hosts = [host for host, (own, _) in enumerate(net.addresses) if own == subnet]
            across = min(len(hosts), max(3, round(len(hosts) ** 0.5)))
            for number, host in enumerate(hosts):
                places[host] = (top + _GAP + number // across * step, left + _GAP + number % across * step)
            bottom = top + -(-len(hosts) // across) * step + _GAP
            boxes[subnet] = (top, left, bottom, left + across * step + _GAP)
            top, widest = bottom + 2 * _GAP, max(widest, across * step + _GAP)
        left, height = left + widest + _LANE, max(height, top)
    return places, boxes, (height, left - _LANE + _GAP)


def _links(simulation: Simulation) -> list[tuple[int, int]]:
    net = simulation.network
    pairs = {(net.addresses[i][0], net.addresses[j][0]) for i, j in np.argwhere(net.connected)}
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})


def _depths(simulation: Simulation) -> dict[int, int]:
    """Of each subnet: hops from the public ones."""
    net = simulation.network
    depth = np.where(net.public, 0, len(net.addresses))
    for _ in net.addresses:
        nearest = np.where(net.connected, depth[:, None] + 1, len(net.addresses)).min(0)
        depth = np.minimum(depth, nearest)
    return {subnet: int(hops) for (subnet, _), hops in zip(net.addresses, depth, strict=True)}


def _link(picture: NDArray[np.uint8], one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> None:
    """A straight line between the middles of two boxes."""
    (y0, x0), (y1, x1) = (((box[0] + box[2]) // 2, (box[1] + box[3]) // 2) for box in (one, other))
    count = max(abs(y1 - y0), abs(x1 - x0), 1)
    ys = np.rint(np.linspace(y0, y1, count + 1)).astype(int)
    xs = np.rint(np.linspace(x0, x1, count + 1)).astype(int)
    for shift in (0, 1):
        picture[ys, xs + shift] = picture[ys + shift, xs] = LINE
