"""Numbers as people read them."""

from __future__ import annotations

import math
import re

_EXACT_BELOW = 1_000_000
# ECMA-48: control sequences (CSI), operating system commands (OSC), and every other control character but line ends.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def count(value: float) -> str:
    """`421,888`, from a million on four digits: `1.234M`, `12.35M`, `123.5G`."""
    if value < _EXACT_BELOW:
        return f"{value:,.0f}"
    scaled, unit = _scale(value)
    return f"{scaled:.{3 if scaled < 10 else 2 if scaled < 100 else 1}f}{unit}"


def short(value: float) -> str:
    """A round number in little space: `250k`, `1M`, `1.5G`."""
    scaled, unit = _scale(value)
    return f"{scaled:.4g}{unit}"


def _scale(value: float) -> tuple[float, str]:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return value / size, unit
    return value, ""


def number(value: float | None) -> str:
    """About four digits: `1,234`, `98.32`, `0.934`, `3.0e-05`; `-` where there is none."""
    if value is None:
        return "-"
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if size >= 1e7 or 0 < size < 1e-3:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{1 if size >= 100 else 2 if size >= 10 else 3}f}"


def duration(seconds: float) -> str:
    """Two units at most: `24s`, `3m 05s`, `2h 14m`, `3d 04h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def printable(text: str, encoding: str = "utf-8") -> str:
    """`text` without terminal sequences and control characters other than line ends, in what `encoding` can say."""
    kept = _CONTROL.sub("", text.expandtabs())
    return kept.encode(encoding, "backslashreplace").decode(encoding)
