"""A number's whole past in little space, and a line drawn of it."""

from __future__ import annotations

from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=*#"


class History:
    """At most `2 * points` equally spaced means: when full, neighbours merge and a point spans twice as many values."""

    def __init__(self, points: int = 64) -> None:
        self._limit = 2 * points
        self._stride = 1  # values a point
        self._points: list[float] = []
        self._open: list[float] = []  # values of the point that is not complete

    def add(self, value: float) -> None:
        """Add the next value."""
        self._open.append(value)
        if len(self._open) < self._stride:
            return
        self._points.append(sum(self._open) / len(self._open))
        self._open.clear()
        if len(self._points) == self._limit:
            self._points = [(a + b) / 2 for a, b in zip(self._points[::2], self._points[1::2], strict=True)]
            self._stride *= 2

    def sparkline(self, width: int, ascii_only: bool = False) -> str:
        """The past as at most `width` characters, lowest to highest; empty before there are two points."""
        points = self._points
        if len(points) < 2 or width < 2:
            return ""
        if len(points) > width:
            edges = [index * len(points) // width for index in range(width + 1)]
            points = [sum(points[a:b]) / (b - a) for a, b in pairwise(edges)]
        low, high = min(points), max(points)
        blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
        scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
        return "".join(blocks[round((point - low) * scale)] for point in points)
